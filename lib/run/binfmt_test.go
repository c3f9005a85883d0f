package run

import (
	"os"
	"path/filepath"
	"testing"
)

// What the kernel lists of three formats, as Debian's python, qemu-user-static
// and a hand register them. A file of none of them cannot be executed, however
// many there are.
func TestRegisteredFormats(t *testing.T) {
	dir := t.TempDir()
	elf := "7f454c460201010000000000000000000200b700"
	for name, text := range map[string]string{
		"status":       "enabled\n",
		"python3.11":   "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n",
		"qemu-aarch64": "enabled\ninterpreter /usr/libexec/qemu-aarch64\nflags: POCF\noffset 0\nmagic " + elf + "\nmask ffffffffffffff00fffffffffffffffffeffffff\n",
		"tail":         "enabled\ninterpreter /bin/deep\nflags: \noffset 4\nmagic ff01\nmask 0f0f\n",
		"jar":          "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n",
		"off":          "disabled\ninterpreter /bin/off\nflags: \noffset 0\nmagic 6f6666\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	arm := "\x7fELF\x02\x01\x01\x2a\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\xb7\x00" + string(make([]byte, 100))
	mips := "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x08\x00" + string(make([]byte, 100))
	for _, c := range []struct {
		name, head, want string
		registered       bool
	}{
		{"/x", "text\n", "error", false},
		{"/x", "", "error", false},
		{"/x.py", "\xa7\x0d\x0d\x0a....", "/usr/bin/python3.11", true},
		{"/x", "\xa7\x0d\x0d", "error", false},
		{"/x", "abcd\x3f\xf1", "/bin/deep", true},
		{"/x", "abcd\x3f\xf2", "error", false},
		{"/x.jar", "PK", "/usr/bin/jexec", true},
		{"/x.jarx", "PK", "error", false},
		{"/x", "off", "error", false},
		{"/x", arm, "", true},
		{"/x", mips, "error", false},
		{"/x", "#!/bin/sh\n", "/bin/sh", false},
	} {
		got, registered, err := interpreterOf(c.name, []byte(c.head), dir)
		if err != nil {
			got = "error"
		}
		if got != c.want || registered != c.registered {
			t.Errorf("interpreterOf(%q, %.20q) = %q, %v, %v, want %q, %v", c.name, c.head, got, registered, err, c.want, c.registered)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte("disabled\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, ok := registeredInterpreter(dir, "/x.jar", nil); ok {
		t.Errorf("registeredInterpreter = %q where the kernel looks for none", got)
	}
}
