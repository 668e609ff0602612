package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
	"streamsql/state"
)

// Backup copies the data directory, as it is after an epoch that holds all that has been acknowledged, to a directory of the server, given by an absolute
// path, which must not exist or be empty, and appears when it is complete. Clients, views and sinks go on meanwhile. The copy can be opened like the original, and
// restored with Restore, which checks it. The engine must not be closed before it returns.
func (e *Engine) Backup(ctx context.Context, dir string) error {
	p := e.persist
	if p == nil {
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "there is nothing to back up: the server keeps everything in memory").
			WithHint("Start it with --data DIR.")
	}
	if !filepath.IsAbs(dir) {
		return pgerr.New(pgerr.InvalidName, "relative path not allowed for BACKUP").WithHint("The directory is one of the server's machine: name it in full.")
	}
	if err := outside(dir, p.store.Dir()); err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return err
	}
	type staged struct {
		b   *state.StagedBackup
		err error
	}
	done := make(chan staged, 1)
	select {
	case p.tasks <- func() {
		b, err := stageBackup(p.store)
		done <- staged{b, err}
	}:
	case <-p.stopped:
		return pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
	}
	s := <-done
	if s.err != nil {
		return s.err
	}
	defer s.b.Drop()
	return backupError(ctx, s.b.Write(ctx, dir))
}

func backupError(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return canceled(ctx)
	}
	return err
}

// stageBackup takes hold of what a store holds now. Nothing may be committed meanwhile.
func stageBackup(s *state.Store) (*state.StagedBackup, error) {
	records, err := readJobs(s)
	if err != nil {
		return nil, err
	}
	var blobs []string
	for _, r := range records {
		if r.blob != "" {
			blobs = append(blobs, r.blob)
		}
	}
	return s.StageBackup(blobs)
}

// outside refuses a directory that is, or lies within, the data directory.
func outside(dir, data string) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return pgerr.From(err)
	}
	if rel, err := filepath.Rel(data, filepath.Clean(dir)); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return pgerr.New(pgerr.InvalidParameterValue, "\"%s\" lies in the data directory", dir).WithHint("Name a directory beside it, or on another disk.")
	}
	return nil
}

// BackupDirectory is Engine.Backup of a data directory that no server uses (55006).
func BackupDirectory(ctx context.Context, data, dir string) error {
	if err := outside(dir, data); err != nil {
		return err
	}
	if _, err := os.Stat(data); err != nil { // nothing is made where there is nothing
		return pgerr.New(pgerr.UndefinedFile, "could not open data directory \"%s\": %v", data, err)
	}
	s, err := state.OpenStore(data, state.StoreOptions{})
	if err != nil {
		if e := pgerr.From(err); e.Code == pgerr.ObjectInUse {
			return e.WithHint("Ask the server that uses it: leave out --data.")
		}
		return err
	}
	defer s.Close()
	b, err := stageBackup(s)
	if err != nil {
		return err
	}
	defer b.Drop()
	return backupError(ctx, b.Write(ctx, dir))
}

// Restore copies a backup to a data directory, which must not exist or be empty, and checks it: what is damaged is XX001.
func Restore(ctx context.Context, backup, data string) error {
	return backupError(ctx, state.Restore(ctx, nil, backup, data))
}

// backup executes BACKUP.
func (s *Session) backup(ctx context.Context, x *ast.Backup) error {
	if s.tx != nil {
		return pgerr.New(pgerr.ActiveSQLTransaction, "BACKUP cannot run inside a transaction block")
	}
	if me := s.role(); !me.Super && !s.catalog().HasPrivilegesOf(me.OID, catalog.RoleWriteServerFiles) {
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser or have privileges of the pg_write_server_files role to back up the database")
	}
	return posErr(s.e.Backup(ctx, x.Dir), x.Pos)
}
