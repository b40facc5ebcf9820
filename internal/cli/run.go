package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/control/source"
)

func runCommand(version string, s Streams) *cobra.Command {
	var in source.Input
	var level, format string
	c := &cobra.Command{
		Use:   "run CONFIG|URL",
		Short: "Serve a config file, a folder of them, or be a proxy for a URL.",
		Example: `  weir run weir.yaml
  weir run examples/shop --listen :9090 --admin off
  weir run http://localhost:9000`,
		Args: args(1, 1, "one file, folder or URL"),
		RunE: func(c *cobra.Command, given []string) error {
			in.Path = given[0]
			var threshold slog.LevelVar
			if err := threshold.UnmarshalText([]byte(level)); err != nil {
				return usageError{fmt.Errorf("--log %q: write debug, info, warn or error", level)}
			}
			handler, err := logHandler(s.Err, format, &threshold)
			if err != nil {
				return err
			}
			err = app.Run(c.Context(), app.Options{
				Input: in, Log: slog.New(handler), Level: &threshold, Version: version, Parts: app.Parts(),
				Started: func(a *app.App) { s.started(a) },
			})
			var refused *app.RefusedError
			if errors.As(err, &refused) {
				s.tell(refused.Problems, refused.Sources)
				_, _ = fmt.Fprintf(s.Err, "%s; nothing was started\n", count(len(refused.Problems), "problem"))
				return errSaid
			}
			return err
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&in.Listen, "listen", nil, "address instead of the config's first one, or NAME=ADDRESS for another")
	flags.StringVar(&in.Admin, "admin", "", "address of the admin API instead of the config's, or off")
	flags.StringVar(&level, "log", "info", "least level that is logged: debug, info, warn, error")
	flags.StringVar(&format, "log-format", "text", "text or json")
	return c
}

func logHandler(w io.Writer, format string, level slog.Leveler) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.NewTextHandler(w, options), nil
	case "json":
		return slog.NewJSONHandler(w, options), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: write text or json", format)}
}

// started says where to go from here.
func (s Streams) started(a *app.App) {
	s.tell(a.Warnings, nil)
	addresses := a.Addresses()
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		_, _ = fmt.Fprintf(s.Out, "serving on %s\n", shown(addresses[name]))
	}
	if address := a.AdminAddress(); address != "" {
		_, _ = fmt.Fprintf(s.Out, "admin on %s\n", shown(address))
	}
}

// shown makes an address something to click on.
func shown(address string) string {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return "unix:" + address
	}
	return "http://" + strings.NewReplacer("[::]:", "localhost:", "0.0.0.0:", "localhost:").Replace(address)
}
