package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func fmtCommand(s Streams) *cobra.Command {
	var write, list bool
	c := &cobra.Command{
		Use:   "fmt CONFIG...",
		Short: "Print config files in the standard layout; comments and order stay.",
		Example: `  weir fmt weir.yaml        print it
  weir fmt -w weir.yaml     write it back
  weir fmt -l examples      list what would change`,
		Args: args(1, 1<<10, "files or folders"),
		RunE: func(_ *cobra.Command, given []string) error {
			var failed bool
			for _, path := range given {
				sources, err := config.Read(path)
				if err != nil {
					return err
				}
				for _, source := range sources {
					if source.Unread != nil {
						return source.Unread
					}
					changed, err := s.format(source, write, list)
					if errors.Is(err, errSaid) {
						failed = true
						continue
					}
					if err != nil {
						return err
					}
					failed = failed || (list && changed)
				}
			}
			if failed {
				return errSaid
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "write the result back to the file")
	c.Flags().BoolVarP(&list, "list", "l", false, "only list files that would change, and exit with 2 if there are any")
	return c
}

// format formats one file.
func (s Streams) format(source config.Source, write, list bool) (changed bool, err error) {
	var problems doc.Problems
	out := doc.Format(source.Path, source.Data, &problems)
	if problems.Failed() {
		s.tell(problems.Sorted(), []config.Source{source})
		return false, errSaid
	}
	changed = !bytes.Equal(out, source.Data)
	switch {
	case list && changed:
		_, err = fmt.Fprintln(s.Out, source.Path)
	case list:
	case write && changed:
		err = replaceFile(source.Path, out)
	case write:
	default:
		_, err = s.Out.Write(out)
	}
	return changed, err
}

// replaceFile writes a new file beside the old one and renames it, so that a crash leaves either the old or the new
// content. A symbolic link stays; the file it leads to is replaced.
func replaceFile(path string, data []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(info.Mode().Perm()), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
