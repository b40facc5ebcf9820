package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// binary is a binary with what it says about itself: the modules that were linked into it, and how it was built.
type binary struct {
	data []byte
	info *debug.BuildInfo
}

func contents(path string) (binary, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	return binary{data, info}, err
}

// modules returns the linked modules; a replaced module is given as its replacement.
func (b binary) modules() []*debug.Module {
	var list []*debug.Module
	for _, m := range b.info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, m)
	}
	return list
}

func (b binary) setting(key string) string {
	at := slices.IndexFunc(b.info.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
	if at < 0 {
		return ""
	}
	return b.info.Settings[at].Value
}

// bill returns the software bill of materials, in CycloneDX 1.6. Its timestamp is the time of the commit.
func (b binary) bill(version string) ([]byte, error) {
	program := component(cdx.ComponentTypeApplication, b.info.Main.Path, version)
	program.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(b.data))}}
	var built []cdx.Property
	for _, s := range b.info.Settings {
		built = append(built, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	program.Properties = &built

	parts := []cdx.Component{component(cdx.ComponentTypeLibrary, "stdlib", strings.TrimPrefix(b.info.GoVersion, "go"))}
	for _, m := range b.modules() {
		c := component(cdx.ComponentTypeLibrary, m.Path, m.Version)
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
		parts = append(parts, c)
	}
	var references []string
	for _, c := range parts {
		references = append(references, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: b.setting("vcs.time"), Component: &program}
	bom.Components = &parts
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &references}}
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

// component describes a module, referenced by its package URL.
func component(kind cdx.ComponentType, path, version string) cdx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: kind, BOMRef: url, Name: path, Version: version, PackageURL: url}
}

// licenses returns the texts that must be passed on together with the binary: those of Go and of each module. root is a
// module that has all of them.
func (b binary) licenses(root string) ([]byte, error) {
	goroot, err := output(root, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := texts(&out, "Go "+b.info.GoVersion, goroot); err != nil {
		return nil, err
	}
	for _, m := range b.modules() {
		folder, err := output(root, "go", "list", "-m", "-f", "{{.Dir}}", m.Path)
		if err != nil {
			return nil, err
		}
		if err := texts(&out, m.Path+" "+m.Version, folder); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// texts writes the licenses and notices in a folder. There must be at least one.
func texts(out *bytes.Buffer, title, folder string) error {
	var found []string
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "NOTICE*"} {
		paths, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return err
		}
		found = append(found, paths...)
	}
	written := 0
	for _, path := range found {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "==== %s: %s ====\n\n%s\n\n", title, filepath.Base(path), bytes.TrimSpace(text))
		written++
	}
	if written == 0 {
		return fmt.Errorf("%s: there is no license in %s", title, folder)
	}
	return nil
}
