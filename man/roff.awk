# Finishes what go-md2man wrote: the title in capitals, as pages have it, and
# no text line longer than 80 characters, as mandoc asks. What lies in an
# example or a table is left alone, for there a line end means something.

/^\.TH / { $2 = toupper($2) }
/^\.(EX|TS|nf)/ { verbatim = 1 }
/^\.(EE|TE|fi)/ { verbatim = 0 }

/^[.']/ || verbatim { print; next }

{
	while (length($0) > 80) {
		# The last space before the limit behind which no request begins.
		for (at = 80; at > 1; at--)
			if (substr($0, at, 1) == " " && substr($0, at + 1, 1) !~ /[.' ]/)
				break
		if (at <= 1)
			break
		print substr($0, 1, at - 1)
		$0 = substr($0, at + 1)
	}
	print
}
