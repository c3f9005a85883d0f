package explain

import "slices"

// operandsPerLine keeps a line below what a shell, a terminal and execve(2)
// take, with paths of any length.
const operandsPerLine = 50

// Lines spreads the operands, which it quotes, over several commands: one line
// of a command has a limit.
func Lines(command string, operands []string) []string {
	var lines []string
	for some := range slices.Chunk(operands, operandsPerLine) {
		lines = append(lines, command+" "+Quote(some...))
	}
	return lines
}
