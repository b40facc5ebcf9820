package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extensionsFolder is the folder in which AWS looks for programs that run beside a function; there it is below /opt.
const extensionsFolder = "extensions"

// Extensions returns the programs in the folder extensions below a function's folder, in the order of their names. It
// skips files that cannot be executed.
func Extensions(folder string) []string {
	can, _ := extensions(folder)
	return can
}

// LameExtensions returns the files in that folder that look like programs, because their names have no extension, but
// cannot be executed.
func LameExtensions(folder string) []string {
	_, cannot := extensions(folder)
	return cannot
}

func extensions(folder string) (can, cannot []string) {
	within := filepath.Join(folder, extensionsFolder)
	entries, err := os.ReadDir(within)
	if err != nil {
		return nil, nil // most functions have no such folder
	}
	for _, entry := range entries {
		file := filepath.Join(within, entry.Name())
		info, err := os.Stat(file)
		switch {
		case err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), "."):
		case onWindows && slices.Contains([]string{".exe", ".bat", ".cmd"}, strings.ToLower(filepath.Ext(file))), !onWindows && info.Mode().Perm()&0o111 != 0:
			can = append(can, file)
		case !onWindows && filepath.Ext(file) == "":
			cannot = append(cannot, file)
		}
	}
	return can, cannot
}
