package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

var (
	noon   = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	packed = []file{{"weir", []byte("program"), 0o755}, {"deploy/systemd/weir.service", []byte("[Unit]\n"), 0o644}}
	want   = []string{"weir_1.0.0/weir 755 program", "weir_1.0.0/deploy/systemd/weir.service 644 [Unit]\n"}
)

func TestTarballs(t *testing.T) {
	data, err := tarball("weir_1.0.0", noon, packed)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := tarball("weir_1.0.0", noon, packed) // as above
	if !bytes.Equal(data, again) {
		t.Error("two archives of the same differ")
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(z); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || !head.ModTime.Equal(noon) || head.Uid != 0 || head.Uname != "" {
			t.Errorf("%+v, %v", head, err)
		}
		got = append(got, fmt.Sprintf("%s %o %s", head.Name, head.Mode, text))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestZips(t *testing.T) {
	data, err := zipped("weir_1.0.0", noon, packed)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := zipped("weir_1.0.0", noon, packed) // as above
	if !bytes.Equal(data, again) {
		t.Error("two archives of the same differ")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || !f.Modified.Equal(noon) {
			t.Errorf("%+v, %v", f.FileHeader, err)
		}
		got = append(got, fmt.Sprintf("%s %o %s", f.Name, f.Mode(), text))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// small is a binary of one module with another one in it: this program.
func small(t *testing.T) binary {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := contents(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABillNamesWhatIsLinked(t *testing.T) {
	b := small(t)
	text, err := b.bill("v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	var want []string
	for _, m := range b.info.Deps {
		want = append(want, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	want = append([]string{"pkg:golang/stdlib@" + strings.TrimPrefix(b.info.GoVersion, "go")}, want...)
	if !slices.Equal(got, want) || len(got) < 2 {
		t.Errorf("%q, want %q", got, want)
	}
	if linked := *(*bom.Dependencies)[0].Dependencies; !slices.Equal(linked, got) {
		t.Errorf("linked %q", linked)
	}
	if program := bom.Metadata.Component; program.Version != "v1.0.0" || program.Name != b.info.Main.Path || len(*program.Hashes) != 1 {
		t.Errorf("%+v", program)
	}
	again, _ := b.bill("v1.0.0") // as above
	if !bytes.Equal(text, again) {
		t.Error("two bills of one binary differ")
	}
}

func TestLicensesAreThoseOfAllModules(t *testing.T) {
	b := small(t)
	text, err := b.licenses(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"==== Go go1", "The Go Authors", "==== github.com/CycloneDX/cyclonedx-go v", "Apache License"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %q in it", want)
		}
	}
	if err := texts(&bytes.Buffer{}, "nobody's", t.TempDir()); err == nil {
		t.Error("a module without a license is passed on")
	}
}

// TestWhatIsCommittedIsReleased holds that files beside the commit are no part of a source.
func TestWhatIsCommittedIsReleased(t *testing.T) {
	root := t.TempDir()
	git := func(arguments ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"}, arguments...)...)
		c.Dir = root
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", arguments, err, out)
		}
	}
	git("init", "--quiet")
	if err := os.WriteFile(filepath.Join(root, "kept"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "kept")
	git("commit", "--quiet", "--message=first", "--date=2026-11-28T12:00:00Z")
	git("tag", "v1.2.3")
	for name, text := range map[string]string{"kept": "after", "beside": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := clone(root, filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(s.folder, "kept")); string(text) != "before" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(s.folder, "beside")); err == nil {
		t.Error("what is not committed is there")
	}
	if s.version != "v1.2.3" || s.time.IsZero() {
		t.Errorf("version %q of %s", s.version, s.time)
	}
	if err := release(s, t.TempDir(), root); err == nil {
		t.Error("it is written over what lies there")
	}
}
