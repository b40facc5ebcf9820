package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extensionsFolder is where AWS looks for programs that stand beside a function, there
// below /opt.
const extensionsFolder = "extensions"

// Extensions gives the programs in the folder extensions below a function's, in the order
// of their names. Files that cannot be executed are none.
func Extensions(folder string) []string {
	can, _ := extensions(folder)
	return can
}

// LameExtensions gives the files there that look like programs, having no extension in
// their names, and cannot be executed.
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
