package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// inTarball is where the tests stand in PostgreSQL's source tree.
const inTarball = "src/test/regress/"

// fetchSource gives the directory that holds sql/ and data/ of PostgreSQL 15's regression tests. They are taken from the
// system's source package once and kept in cache.
func fetchSource(cache string) (string, error) {
	dir := filepath.Join(cache, "postgresql-15-regress")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tarball, err := download(filepath.Join(cache, "apt"))
	if err != nil {
		return "", err
	}
	if err := extract(tarball, dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), []byte(filepath.Base(tarball)+"\n"), 0o644)
}

var (
	lineTypes = regexp.MustCompile(`(?m)^Types:.*$`)
	version   = regexp.MustCompile(`(?m)^Version: (\S+)`)
)

// download gets the package's upstream tarball with apt-get, from the archives that the system knows but with lists and a
// cache of our own, so that the system's configuration stays as it is.
func download(dir string) (string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("PostgreSQL's source package cannot be fetched: this system has no apt-get")
	}
	parts := filepath.Join(dir, "sources.d")
	for _, d := range []string{parts, filepath.Join(dir, "lists", "partial"), filepath.Join(dir, "cache", "archives", "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	n, err := sourceLists(parts)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", errors.New("PostgreSQL's source package cannot be fetched: apt knows no Debian archive")
	}
	apt := func(name string, args ...string) ([]byte, error) {
		c := exec.Command(name, append([]string{"-o", "Dir::Etc::SourceList=/dev/null", "-o", "Dir::Etc::SourceParts=" + parts,
			"-o", "Dir::State::Lists=" + filepath.Join(dir, "lists"), "-o", "Dir::Cache=" + filepath.Join(dir, "cache")}, args...)...)
		c.Dir = dir
		return c.CombinedOutput()
	}
	// An archive that does not answer is no reason to stop: the package may be in another.
	updated, _ := apt("apt-get", "update")
	out, err := apt("apt-cache", "showsrc", "postgresql-15")
	found := version.FindAllSubmatch(out, -1)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("apt does not know the source package postgresql-15: %s%s", updated, out)
	}
	var last []byte
	for _, v := range found {
		out, err := apt("apt-get", "source", "--download-only", "postgresql-15="+string(v[1]))
		if last = out; err != nil {
			continue
		}
		upstream, _, _ := strings.Cut(string(v[1]), "-")
		return filepath.Join(dir, "postgresql-15_"+upstream+".orig.tar.bz2"), nil
	}
	return "", fmt.Errorf("apt cannot fetch the source package postgresql-15: %s", last)
}

// sourceLists writes the system's Debian archives as archives of source packages into dir and says how many there are.
func sourceLists(dir string) (n int, err error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for i, f := range append(files, "/etc/apt/sources.list") {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var kept []string
		ext := ".sources"
		if filepath.Ext(f) == ".sources" {
			for stanza := range strings.SplitSeq(string(text), "\n\n") {
				if strings.Contains(stanza, "debian") && lineTypes.MatchString(stanza) {
					kept = append(kept, lineTypes.ReplaceAllString(stanza, "Types: deb-src")+"\n")
				}
			}
		} else {
			ext = ".list"
			for line := range strings.SplitSeq(string(text), "\n") {
				if rest, ok := strings.CutPrefix(line, "deb "); ok && strings.Contains(rest, "debian") {
					kept = append(kept, "deb-src "+rest)
				}
			}
		}
		if n += len(kept); len(kept) > 0 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d%s", i, ext)), []byte(strings.Join(kept, "\n")+"\n"), 0o644); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// extract takes the scripts and their data out of the source tarball.
func extract(tarball, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(bzip2.NewReader(bufio.NewReaderSize(f, 1<<20))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, ok := strings.Cut(h.Name, inTarball)
		if !ok || h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) {
			continue
		}
		if part, _, _ := strings.Cut(name, "/"); part != "sql" && part != "data" {
			continue
		}
		var text bytes.Buffer
		if _, err := io.Copy(&text, r); err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
}
