package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function/local"
)

func expandCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "expand CONFIG",
		Short:   "Print the long form of a config, with defaults and where each came from.",
		Example: "  weir expand weir.yaml",
		Args:    args(1, 1, "one file or folder"),
		RunE: func(_ *cobra.Command, given []string) error {
			checked, _, err := s.check(given[0])
			if err != nil {
				return err
			}
			_, err = s.Out.Write(config.Expand(checked.Config))
			return err
		},
	}
}

func schemaCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of config files, for editors.",
		Example: "  weir schema > weir.schema.json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			encoder := json.NewEncoder(s.Out)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(config.Schema(app.Parts().Vocabulary()))
		},
	}
}

func versionCommand(version string, s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version.",
		Args:  args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, version)
			return err
		},
	}
}

// guardCommand ends the processes of functions after the gateway was killed: see
// package function/local. It is no command for people.
func guardCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use: local.GuardArgument, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, given []string) error { return local.GuardMain(given, s.In, s.Out) },
	}
}

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
	c.Flags().BoolVarP(&list, "list", "l", false, "only list files that would change, and fail if there are any")
	return c
}

// format lays out one file.
func (s Streams) format(source config.Source, write, list bool) (changed bool, err error) {
	var problems doc.Problems
	out := doc.Format(source.Path, source.Data, &problems)
	if problems.Failed() {
		s.tell(problems.Sorted(), []config.Source{source})
		return false, errSaid
	}
	changed = string(out) != string(source.Data)
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

// replaceFile writes beside the file and renames, so that a crash leaves the old or the new one.
func replaceFile(path string, data []byte) error {
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

func initCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "init [FILE]",
		Short:   "Write a commented config to start from.",
		Example: "  weir init            write weir.yaml\n  weir init - | less   print it",
		Args:    args(0, 1, "at most one file name"),
		RunE: func(_ *cobra.Command, given []string) error {
			name := "weir.yaml"
			if len(given) == 1 {
				name = given[0]
			}
			if name == "-" {
				_, err := fmt.Fprint(s.Out, starter)
				return err
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a config is for others to read
			if errors.Is(err, os.ErrExist) {
				return usageError{fmt.Errorf("%s exists and was left alone; name another file", name)}
			}
			if err != nil {
				return err
			}
			if _, err := f.WriteString(starter); err != nil {
				return errors.Join(err, f.Close())
			}
			if err := f.Close(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "wrote %s; next: weir run %s\n", name, strings.TrimPrefix(name, "./"))
			return err
		},
	}
}
