package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"streamsql/internal/pgerr"
)

// manifestName is the file in the directory of a sink that says what the sink has prepared.
const manifestName = ".manifest"

// manifest says which files an epoch of a sink has prepared.
type manifest struct {
	Sink  string // SinkConfig.ID
	Epoch uint64
	After uint64   // the epoch that was prepared before it; 0: none, or not told
	First int      // number of the first file
	Files []string // the names that readers will see; until then a dot stands before them
}

// write puts the manifest in place of the last one, atomically, and makes it durable together with the names of the files.
func (m manifest) write(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return fileError(path, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fileError(path, err)
	}
	return syncDir(dir)
}

// readManifest reads the manifest of a directory.
func readManifest(dir string) (m manifest, err error) {
	path := filepath.Join(dir, manifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	for _, name := range m.Files {
		if _, ok := fileNumber(name); !ok {
			return m, fmt.Errorf("%s names %q, which is no file of a sink", path, name)
		}
	}
	return m, nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fileError(path, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError(path, err)
	}
	return nil
}

// lockPatience is how long a new sink waits for one of the same directory that is about to end.
const lockPatience = 2 * time.Second

// lockDir sees to it that no other sink writes into a directory, until the file is closed.
func lockDir(path string) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		ok, err := tryLock(d)
		if err == nil && ok {
			return d, nil
		}
		if err != nil || time.Now().After(end) {
			d.Close()
			if err != nil {
				return nil, fileError(path, err)
			}
			return nil, pgerr.New(pgerr.ObjectInUse, "another sink writes into directory \"%s\"", path).
				WithHint("Give each sink a directory of its own.")
		}
	}
}
