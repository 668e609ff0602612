package file

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"streamsql/connector"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

const (
	defaultRolloverSize     = 128 << 20
	defaultRolloverInterval = time.Second
)

// SinkOptions implements connector.SinkConnector.
func (Connector) SinkOptions() []connector.OptionSpec {
	return []connector.OptionSpec{
		{Name: "path", Doc: "a directory, made if missing, for files part-<number>.<format>", Required: true},
		{Name: "format", Doc: "ndjson, csv, parquet or arrow", Default: "ndjson"},
		{Name: "type", Doc: "append, changelog or upsert: which changes the files hold", Default: "append"},
		{Name: "header", Doc: "csv: whether the first line of a file names the columns", Default: "true"},
		{Name: "compression", Doc: "parquet: snappy, zstd, gzip or none", Default: "snappy"},
		{Name: "rollover_interval", Doc: "how long rows may wait until the file that holds them is complete and appears", Default: "1 second"},
		{Name: "rollover_size", Doc: "bytes from which a file is complete, with kB, MB or GB", Default: "128MB"},
	}
}

// sinkSettings are the WITH options of a sink, checked.
type sinkSettings struct {
	path, format, compression string
	takes                     connector.Takes
	header                    bool
	interval                  time.Duration
	size                      int64
}

func parseSink(options map[string]string) (s sinkSettings, err error) {
	s = sinkSettings{path: options["path"], format: "ndjson", takes: connector.TakesAppends, header: true,
		interval: defaultRolloverInterval, size: defaultRolloverSize, compression: "snappy"}
	if s.path == "" {
		return s, pgerr.New(pgerr.InvalidParameterValue, "option \"path\" is missing").WithHint("Name a directory: path = '/data/out'.")
	}
	if f, ok := options["format"]; ok {
		switch s.format = strings.ToLower(f); s.format {
		case "ndjson", "csv", "parquet", "arrow":
		case "json", "jsonl":
			s.format = "ndjson"
		default:
			return s, invalid("format", f, "A sink writes ndjson, csv, parquet or arrow.")
		}
	}
	switch t := options["type"]; strings.ToLower(t) {
	case "", "append", "append-only":
	case "changelog":
		s.takes = connector.TakesChanges
	case "upsert":
		s.takes = connector.TakesUpserts
	default:
		return s, invalid("type", t, "It is append, changelog or upsert.")
	}
	if h, ok := options["header"]; ok {
		if s.header, err = strconv.ParseBool(h); err != nil {
			return s, invalid("header", h, "It is true or false.")
		}
	}
	if c, ok := options["compression"]; ok {
		if s.compression = strings.ToLower(c); s.format != "parquet" {
			return s, invalid("compression", c, "Only parquet is compressed.")
		}
		if _, ok := codecs[s.compression]; !ok {
			return s, invalid("compression", c, "It is snappy, zstd, gzip or none.")
		}
	}
	if v, ok := options["rollover_interval"]; ok {
		d, err := types.ParseText(&types.Env{}, types.Interval, v)
		bad := invalid("rollover_interval", v, "It is an interval such as '10 seconds' or '1 hour'.")
		if err != nil {
			return s, bad
		}
		span := types.SpanOf(d.([16]byte))
		if span.Months != 0 || span.Micros < 0 || span.Days < 0 {
			return s, bad
		}
		s.interval = time.Duration(span.Micros)*time.Microsecond + time.Duration(span.Days)*24*time.Hour
	}
	if v, ok := options["rollover_size"]; ok {
		if s.size, ok = parseSize(v); !ok || s.size <= 0 {
			return s, invalid("rollover_size", v, "It is a number of bytes, or a number with kB, MB or GB.")
		}
	}
	return s, nil
}

// parseSize reads a number of bytes with a unit.
func parseSize(v string) (int64, bool) {
	unit := int64(1)
	v = strings.TrimSpace(v)
	for i, u := range []string{"kb", "mb", "gb"} {
		if n, ok := strings.CutSuffix(strings.ToLower(v), u); ok {
			v, unit = strings.TrimSpace(n), 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > 1<<40/unit {
		return 0, false
	}
	return n * unit, true
}

// CheckSink implements connector.SinkConnector.
func (Connector) CheckSink(options map[string]string) (connector.Takes, error) {
	s, err := parseSink(options)
	if err != nil {
		return 0, err
	}
	if i, err := os.Stat(s.path); err == nil && !i.IsDir() {
		return 0, invalid("path", s.path, "It is a file; a sink writes files into a directory.")
	}
	return s.takes, nil
}

// encoder writes rows in a format.
type encoder interface {
	write(b *vec.Batch) error
	// held gives the bytes that are in memory yet.
	held() int64
	// close completes what was written: the last rows, a footer.
	close() error
}

// sink writes rows into files of a directory. A file is written under a name that begins with a dot, which
// readers of globs pass over, and gets its own name when its epoch is committed: whoever sees a file sees all of it.
// Which files an epoch prepared is said by the manifest beside them.
type sink struct {
	sinkSettings
	cfg    *connector.SinkConfig
	lock   *os.File // of the directory
	number int      // of the next file

	file  *os.File
	count countingWriter
	out   *bufio.Writer
	enc   encoder

	complete []string // visible names of files that are written and synced, and not prepared
	prepared manifest // with files: Commit is to come
}

// countingWriter counts the bytes that go to a file.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// OpenSink implements connector.SinkConnector.
func (Connector) OpenSink(cfg *connector.SinkConfig) (connector.Sink, error) {
	s, err := parseSink(cfg.Options)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.path, 0o777); err != nil {
		return nil, fileError(s.path, err)
	}
	k := &sink{sinkSettings: s, cfg: cfg, number: 1}
	if k.lock, err = lockDir(s.path); err != nil {
		return nil, err
	}
	if err := k.resume(); err != nil {
		k.lock.Close()
		return nil, err
	}
	return k, nil
}

// resume goes on where the record says that the sink is: files of a recorded epoch appear, others are removed.
func (k *sink) resume() error {
	m, err := readManifest(k.path)
	if err != nil && (k.cfg.Prepared > 0 || !os.IsNotExist(err)) {
		return pgerr.New(pgerr.DataCorrupted, "directory \"%s\" does not hold what sink %s has written", k.path, k.cfg.Name).WithDetail("%v", err).
			WithHint("Bring the directory back, or DROP the sink and create it anew.")
	}
	if err == nil && m.Sink == k.cfg.ID && m.After > k.cfg.Prepared {
		// What was prepared after the record was recorded, too: the data directory is an older one.
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "directory \"%s\" holds rows that sink %s has written since: they would be written again", k.path, k.cfg.Name).
			WithDetail("The data directory, restored from a backup, knows of what was written until epoch %d; there are rows after epoch %d.", k.cfg.Prepared, m.After).
			WithHint("Bring the directory back to what it was at the time of the backup, or DROP the sink and CREATE it with another path.")
	}
	if k.cfg.Prepared > 0 {
		if m.Sink != k.cfg.ID || m.Epoch < k.cfg.Prepared {
			return pgerr.New(pgerr.DataCorrupted, "directory \"%s\" does not hold what sink %s has written", k.path, k.cfg.Name).
				WithDetail("The manifest is of epoch %d of sink %s, and epoch %d is recorded.", m.Epoch, m.Sink, k.cfg.Prepared).
				WithHint("Bring the directory back, or DROP the sink and create it anew.")
		}
		if m.Epoch == k.cfg.Prepared {
			k.prepared = m
			if err := k.Commit(m.Epoch); err != nil {
				return err
			}
			k.number = m.First + len(m.Files)
		} else {
			k.number = m.First
		}
	} else if err == nil {
		k.number = max(m.First, 1)
	}
	entries, err := os.ReadDir(k.path)
	if err != nil {
		return fileError(k.path, err)
	}
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".")
		n, ok := fileNumber(name)
		switch {
		case !ok:
		case name != e.Name():
			if err := os.Remove(filepath.Join(k.path, e.Name())); err != nil {
				return fileError(e.Name(), err)
			}
		default:
			k.number = max(k.number, n+1)
		}
	}
	return nil
}

func (k *sink) fileName() string { return fmt.Sprintf("part-%08d.%s", k.number, k.format) }

// fileNumber gives the number in the name of one of a sink's files.
func fileNumber(name string) (int, bool) {
	s, ok := strings.CutPrefix(name, "part-")
	if !ok {
		return 0, false
	}
	s, format, ok := strings.Cut(s, ".")
	if !ok || format != "csv" && format != "ndjson" && format != "parquet" && format != "arrow" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// Write implements connector.Sink.
func (k *sink) Write(b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	if k.file == nil {
		if err := k.begin(); err != nil {
			return err
		}
	}
	if err := k.enc.write(b); err != nil {
		return k.wrap(err)
	}
	if k.count.n+int64(k.out.Buffered())+k.enc.held() >= k.size {
		return k.finish()
	}
	return nil
}

// begin opens the next file.
func (k *sink) begin() error {
	f, err := os.OpenFile(filepath.Join(k.path, "."+k.fileName()), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return fileError(k.path, err)
	}
	k.file, k.count = f, countingWriter{w: f}
	k.out = bufio.NewWriterSize(&k.count, 64<<10)
	switch k.format {
	case "csv":
		k.enc, err = newCSVEncoder(k.out, k.cfg, k.header)
	case "ndjson":
		k.enc = newJSONEncoder(k.out, k.cfg)
	case "parquet":
		k.enc, err = newParquetEncoder(k.out, k.cfg, k.compression)
	case "arrow":
		k.enc, err = newArrowEncoder(k.out, k.cfg)
	}
	return k.wrap(err)
}

// wrap words an error of an encoder, which is one of the file unless it is about a value.
func (k *sink) wrap(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*pgerr.Error); ok {
		return e
	}
	return fileError(k.file.Name(), err)
}

// finish completes the file that is being written: all of it is on disk, under its hidden name.
func (k *sink) finish() error {
	if err := k.enc.close(); err != nil {
		return k.wrap(err)
	}
	k.enc = nil
	if err := k.out.Flush(); err != nil {
		return k.wrap(err)
	}
	if err := k.file.Sync(); err != nil {
		return k.wrap(err)
	}
	name := k.file.Name()
	err := k.file.Close()
	k.file = nil
	if err != nil {
		return fileError(name, err)
	}
	k.complete = append(k.complete, k.fileName())
	k.number++
	return nil
}

// CommitIn implements connector.Paced.
func (k *sink) CommitIn(waited time.Duration) time.Duration {
	if len(k.complete) > 0 && k.file == nil {
		return 0
	}
	return k.interval - waited
}

// Prepare implements connector.Sink: the files are on disk, and a manifest names them.
func (k *sink) Prepare(epoch uint64) error {
	crash.At(crash.SinkBeforePrepare)
	if k.file != nil {
		if err := k.finish(); err != nil {
			return err
		}
	}
	crash.At(crash.SinkAfterFileSync)
	m := manifest{Sink: k.cfg.ID, Epoch: epoch, After: max(k.prepared.Epoch, k.cfg.Prepared), First: k.number - len(k.complete), Files: k.complete}
	if err := m.write(k.path); err != nil {
		return err
	}
	k.prepared, k.complete = m, nil
	crash.At(crash.SinkAfterPrepare)
	return nil
}

// Commit implements connector.Sink: the files get the names that readers see.
func (k *sink) Commit(epoch uint64) error {
	crash.At(crash.SinkBeforeCommit)
	if k.prepared.Epoch != epoch || len(k.prepared.Files) == 0 {
		return nil
	}
	for _, name := range k.prepared.Files {
		hidden := filepath.Join(k.path, "."+name)
		// What is not there any more was renamed before; who reads the files may have taken it away since.
		if err := os.Rename(hidden, filepath.Join(k.path, name)); err != nil && !os.IsNotExist(err) {
			return fileError(hidden, err)
		}
		crash.At(crash.SinkMidCommit)
	}
	k.prepared.Files = nil
	if err := syncDir(k.path); err != nil {
		return err
	}
	crash.At(crash.SinkAfterCommit)
	return nil
}

// Abort implements connector.Sink.
func (k *sink) Abort() error {
	names := append(k.complete, k.prepared.Files...)
	k.number -= len(names)
	k.complete, k.prepared.Files = nil, nil
	err := k.dropFile()
	for _, name := range names {
		if rerr := os.Remove(filepath.Join(k.path, "."+name)); rerr != nil && err == nil {
			err = rerr
		}
	}
	return err
}

// dropFile removes the file that is being written.
func (k *sink) dropFile() error {
	if k.file == nil {
		return nil
	}
	name := k.file.Name()
	if k.enc != nil {
		k.out.Reset(io.Discard)
		_ = k.enc.close() // only to free what it holds
		k.enc = nil
	}
	k.file.Close()
	k.file = nil
	return os.Remove(name)
}

// Close implements connector.Sink.
func (k *sink) Close() error {
	err := k.dropFile()
	for _, name := range k.complete {
		if rerr := os.Remove(filepath.Join(k.path, "."+name)); rerr != nil && err == nil {
			err = rerr
		}
	}
	k.complete = nil
	k.lock.Close()
	return err
}
