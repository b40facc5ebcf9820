package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// interpreter is the program of a Runtime.
type interpreter struct {
	path         string // absolute
	major, minor int
}

// product is what users know about a runtime.
type product struct {
	name         string   // of the software
	commands     []string // names of its command
	question     []string // arguments that make it print its own file and its version, one per line
	major, minor int      // the oldest version that has what our bootstrap needs
}

var products = map[Runtime]product{
	Node: {
		name: "Node.js", commands: []string{"node", "nodejs"}, major: 18,
		question: []string{"-p", `process.execPath+"\n"+process.versions.node`},
	},
	Python: {
		name: "Python", commands: []string{"python3", "python"}, major: 3, minor: 9,
		question: []string{"-I", "-c", `import sys; print(sys.executable); print("%d.%d" % sys.version_info[:2])`},
	},
}

// MissingError says that the interpreter of a program is missing.
type MissingError struct {
	Runtime Runtime
	Own     bool // it was looked for on the function's own PATH, not the gateway's
}

// What says what is missing, as the end of a sentence about the function.
func (e *MissingError) What() string {
	where := "the gateway's PATH"
	if e.Own {
		where = "the PATH in its env"
	}
	p := products[e.Runtime]
	return fmt.Sprintf("needs %s, and there is no %s on %s", p.name, p.commands[0], where)
}

// Fix says how to solve it.
func (e *MissingError) Fix() string {
	return fmt.Sprintf("install %s, or start the gateway with a PATH that has it", products[e.Runtime].name)
}

func (e *MissingError) Error() string { return "it " + e.What() + "; " + e.Fix() }

// Look checks whether the program's interpreter seems to be there. It runs nothing. Its error is a *MissingError.
func (p Program) Look() error {
	if p.Runtime == Native {
		return nil
	}
	_, err := p.command()
	return err
}

// command returns the file that is called to run the program. It may be a shim of a version manager.
func (p Program) command() (string, error) {
	if file := p.environmentOfItsOwn(); file != "" {
		return file, nil
	}
	for _, name := range products[p.Runtime].commands {
		if file := p.lookUp(name); file != "" {
			return file, nil
		}
	}
	return "", &MissingError{p.Runtime, p.Search != ""}
}

// lookUp finds a command on the program's search path, or returns "" if there is none.
func (p Program) lookUp(name string) string {
	search := p.Search
	if search == "" {
		search = os.Getenv("PATH")
	}
	for _, folder := range filepath.SplitList(search) {
		if !filepath.IsAbs(folder) { // files in the working folder are not used as interpreters
			continue
		}
		if file, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return file
		}
	}
	return ""
}

// environmentOfItsOwn returns the interpreter of a virtual environment in the program's folder, "" for none
// (https://docs.python.org/3/library/venv.html).
func (p Program) environmentOfItsOwn() string {
	if p.Runtime != Python {
		return ""
	}
	file := filepath.Join(p.Folder, ".venv", "bin", "python3")
	if onWindows {
		file = filepath.Join(p.Folder, ".venv", "Scripts", "python.exe")
	}
	if _, err := exec.LookPath(file); err != nil {
		return ""
	}
	return file
}

// askTime bounds how long an interpreter may take to say where it is.
const askTime = 20 * time.Second

// interpreter finds the interpreter itself behind the command, by asking it. A version manager's shim depends on the
// gateway's environment, which instances do not get, and would slow down each start.
func (p Program) interpreter(ctx context.Context) (interpreter, error) {
	command, err := p.command()
	if err != nil {
		return interpreter{}, err
	}
	product := products[p.Runtime]
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, product.question...)
	cmd.Dir = p.Folder // version managers look there for the requested version
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		var said *exec.ExitError
		if errors.As(err, &said) && len(said.Stderr) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said.Stderr)))
		}
		return interpreter{}, fmt.Errorf("%s does not run: %w", command, err)
	}
	found, err := parseInterpreter(string(out))
	if err != nil {
		return interpreter{}, fmt.Errorf("%s does not say what it is: %w", command, err)
	}
	if found.major < product.major || found.major == product.major && found.minor < product.minor {
		return interpreter{}, fmt.Errorf("%s is %s %d.%d; the function needs %d.%d or newer",
			found.path, product.name, found.major, found.minor, product.major, product.minor)
	}
	return found, nil
}

// parseInterpreter reads the output of a product's question.
func parseInterpreter(text string) (interpreter, error) {
	file, version, _ := strings.Cut(strings.TrimSpace(text), "\n")
	i := interpreter{path: strings.TrimSpace(file)}
	parts := strings.Split(strings.TrimSpace(version), ".")
	if !filepath.IsAbs(i.path) || len(parts) < 2 {
		return interpreter{}, fmt.Errorf("it printed %q", text)
	}
	for n, number := range []*int{&i.major, &i.minor} {
		value, err := strconv.Atoi(parts[n])
		if err != nil || value < 0 {
			return interpreter{}, fmt.Errorf("it printed %q", text)
		}
		*number = value
	}
	return i, nil
}
