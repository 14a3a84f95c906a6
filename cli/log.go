package cli

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/choria-io/fisk"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// logLevelFlag declares --log-level.
func logLevelFlag(cmd *fisk.CmdClause) *string {
	return cmd.Flag("log-level", "What to log: debug, info, warn or error").Default("info").
		Envar("LANDFALL_LOG").PlaceHolder("info").Enum("debug", "info", "warn", "error")
}

// logger logs to stderr: short coloured lines for a person at a terminal, one
// JSON object a line for whatever else reads it. NO_COLOR is respected.
func (e *env) logger(level string) *slog.Logger {
	lv := slog.LevelInfo
	switch level {
	case "debug":
		lv = slog.LevelDebug
	case "warn":
		lv = slog.LevelWarn
	case "error":
		lv = slog.LevelError
	}
	if !isTerminal(e.stderr) {
		return slog.New(slog.NewJSONHandler(e.stderr, &slog.HandlerOptions{Level: lv, ReplaceAttr: plainValues}))
	}
	return slog.New(tint.NewTextHandler(e.stderr, &tint.Options{
		Level:      lv,
		TimeFormat: time.TimeOnly + ".000",
		NoColor:    os.Getenv("NO_COLOR") != "",

		ReplaceAttr: plainValues,
	}))
}

// isTerminal tells whether a person reads w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
