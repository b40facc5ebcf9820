// Package places has the system tell of what happens to what paths lead to: files
// that are replaced, links that are pointed elsewhere, folders that come and go.
package places

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Watched are the folders that the system watches for us. Files are never watched
// themselves: whoever replaces a file would take the watch away with it. It is for
// one goroutine.
type Watched struct {
	// Of tells which names within a folder that was itself named are of interest.
	Of func(name string) bool

	folders map[string]*folder
	names   places
}

// folder is one that is watched.
type folder struct {
	info    os.FileInfo // as it was when the watch was set
	content bool        // what is written to its files is told too
	// told: something has happened to itself. It may have been removed and made anew,
	// and look like the same, for systems give a number again that has become free.
	told bool
}

// places are the names in folders whose change can change what a path leads to.
type places map[string]map[string]bool

func (p places) add(folder, name string) {
	if p[folder] == nil {
		p[folder] = map[string]bool{}
	}
	p[folder][name] = true
}

// content adds a name of which matters too what is written to it. Of the others, such
// as the folders on the way, matters only what they are: a folder that holds no more
// than such may hold files that somebody writes to all the time.
func (p places) content(folder, name string) {
	p.add(folder, name)
	p.add(folder, ofContent)
}

// placesOf finds out what each path leads through.
func placesOf(paths []string) places {
	p := places{}
	for _, path := range paths {
		if absolute, err := filepath.Abs(path); err == nil {
			p.walk(absolute)
		}
	}
	return p
}

// mostLinks is how many links are followed before they are taken for a circle.
const mostLinks = 40

// walk goes from the root to the end of path, through its links, and notes each
// link, since it may be pointed elsewhere (a ConfigMap's ..data is), and the end.
// Where the path ends early, what is missing is noted: it may come.
func (p places) walk(path string) {
	volume := filepath.VolumeName(path)
	at := volume + string(filepath.Separator)
	rest := strings.Split(strings.Trim(path[len(volume):], string(filepath.Separator)), string(filepath.Separator))
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		switch {
		case err != nil && len(rest) == 0: // when it has come, it is still being written
			p.content(at, name)
			return
		case err != nil: // it is found again when it has come
			p.add(at, name)
			return
		case info.Mode()&os.ModeSymlink != 0 && links < mostLinks:
			links++
			p.add(at, name)
			target, err := os.Readlink(next)
			if err != nil {
				return
			}
			if filepath.IsAbs(target) {
				at = filepath.VolumeName(target) + string(filepath.Separator)
				target = target[len(filepath.VolumeName(target)):]
			}
			rest = append(strings.Split(strings.Trim(filepath.Clean(target), string(filepath.Separator)), string(filepath.Separator)), rest...)
		case len(rest) == 0:
			p.end(at, name)
			return
		default:
			at = next
		}
	}
}

// end notes where a path ends, and the folder that it is in: that may be replaced.
func (p places) end(folder, name string) {
	if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.IsDir() {
		p.add(folder, name)
		p.content(filepath.Join(folder, name), ofInterest)
	} else {
		p.content(folder, name)
	}
	if parent := filepath.Dir(folder); cheapFolders() && parent != folder {
		p.add(parent, filepath.Base(folder))
	}
}

// ofInterest stands for what Of tells, in a folder that was named itself. It is no
// file's name.
const ofInterest = "/"

// ofContent stands, in a folder, for names of which the content matters. It is no
// file's name.
const ofContent = "//"

// Everything stands, at the end of a path, for whatever a folder holds.
const Everything = "*"

// cheapFolders tells whether a folder can be watched without opening each file in
// it, as kqueue does.
func cheapFolders() bool { return runtime.GOOS == "linux" || runtime.GOOS == "windows" }

// Notifier is what of a notify.Watcher is needed here: what is added twice is watched
// until it is removed twice.
type Notifier interface {
	Add(folder string) error
	AddNames(folder string) error // does not tell of what is written to files
	Remove(folder string)
}

// mostWalks bounds how often paths are walked that change all the time.
const mostWalks = 20

// Follow watches what paths lead through now, and nothing else. What comes between
// looking for it and watching its folder is told by nobody, so it looks again until
// nothing more is to be watched.
func (w *Watched) Follow(system Notifier, paths []string) (err error) {
	for range mostWalks {
		before := w.names
		w.names = placesOf(paths)
		var more bool
		if more, err = w.watch(system); !more && maps.EqualFunc(before, w.names, maps.Equal) {
			break
		}
	}
	return err
}

// watch watches the folders of names, and tells whether there was one that it had
// not watched before, or not for content.
func (w *Watched) watch(system Notifier) (more bool, err error) {
	if w.folders == nil {
		w.folders = map[string]*folder{}
	}
	var left []string
	for path, f := range w.folders {
		now, err := os.Stat(path)
		if err == nil && os.SameFile(f.info, now) && w.names[path] != nil && !f.told && (f.content || !w.names[path][ofContent]) {
			continue
		}
		delete(w.folders, path)
		left = append(left, path)
	}
	var problems []error
	for path, names := range w.names {
		if w.folders[path] != nil {
			continue
		}
		f, err := begin(system, path, names[ofContent])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		w.folders[path], more = f, true
	}
	for _, path := range left { // after the others: what is watched on misses nothing between
		system.Remove(path)
	}
	return more, errors.Join(problems...)
}

// begin has the system watch a folder.
func begin(system Notifier, path string, content bool) (*folder, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what could not be done
	}
	add := system.AddNames
	if content {
		add = system.Add
	}
	if err := add(path); err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	return &folder{info: info, content: content}, nil
}

// Concerns tells whether a path of which the system has told may be about what is
// watched. What it has told is kept in mind until the next Follow.
func (w *Watched) Concerns(path string) bool {
	if f := w.folders[path]; f != nil {
		f.told = true
		return true
	}
	names := w.names[filepath.Dir(path)]
	name := filepath.Base(path)
	return names[name] || names[Everything] || names[ofInterest] && w.Of(name)
}

// Lost says that the system has lost something that it was to tell: any of the folders may have been
// removed and made anew.
func (w *Watched) Lost() {
	for _, f := range w.folders {
		f.told = true
	}
}
