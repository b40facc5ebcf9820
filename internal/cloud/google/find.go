package google

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/weir-gateway/weir/internal/cloud"
)

// finder looks for Application Default Credentials in Google's order: the file that GOOGLE_APPLICATION_CREDENTIALS
// names, the file that `gcloud auth application-default login` has written, and the machine's metadata server.
type finder struct {
	getenv func(string) string
	home   func() (string, error)
}

func environment() finder { return finder{os.Getenv, os.UserHomeDir} }

const (
	fileVariable = "GOOGLE_APPLICATION_CREDENTIALS"
	wellKnown    = "application_default_credentials.json"
)

func (f finder) find(asker *cloud.Asker) (source, error) {
	if named := f.getenv(fileVariable); named != "" {
		return readFile(named, asker)
	}
	if folder := f.gcloud(); folder != "" {
		s, err := readFile(filepath.Join(folder, wellKnown), asker)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return f.machine(asker), nil
}

// gcloud returns the folder of gcloud's own files.
func (f finder) gcloud() string {
	if named := f.getenv("CLOUDSDK_CONFIG"); named != "" {
		return named
	}
	if runtime.GOOS == "windows" {
		return filepath.Join(f.getenv("APPDATA"), "gcloud")
	}
	home, err := f.home()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "gcloud")
}

func readFile(path string, asker *cloud.Asker) (source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	s, err := parser{asker: asker}.parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
