package testimage

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Nobody is the id of an ordinary user and of his group.
const Nobody = 65534

// LetNobodyIn lets that user reach the directories, which are below the
// temporary one, and makes home, which is not there yet, his.
func LetNobodyIn(home string, dirs ...string) error {
	var errs []error
	for _, dir := range append(dirs, filepath.Dir(home)) {
		for ; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
			errs = append(errs, os.Chmod(dir, 0o755))
		}
	}
	return errors.Join(append(errs, os.Mkdir(home, 0o700), os.Chown(home, Nobody, Nobody))...)
}

// AsNobody is a command of that user in his home, with only these variables
// beside HOME.
func AsNobody(home string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command("env", append(append([]string{"-i", "HOME=" + home}, env...), args...)...)
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody, Groups: []uint32{}}}
	return cmd
}
