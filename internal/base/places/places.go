// Package places makes the system report changes of what paths lead to: files that are replaced, links that are pointed
// elsewhere, folders that come and go.
package places

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Watched are the folders that the system watches for us. Files themselves are never watched, because replacing a file
// would end its watch. Watched must be used by one goroutine.
type Watched struct {
	// Of reports whether a name in a folder that is itself one of the paths is of interest.
	Of func(name string) bool

	folders map[string]*folder
	names   places
}

// folder is a watched folder.
type folder struct {
	info    os.FileInfo // as it was when the watch was set
	content bool        // writes to its files are reported, too
	// told says that something has happened to the folder itself. It may have been removed and made again and look the
	// same, because systems reuse inode numbers.
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

// content adds a name whose file content matters, too. Of other names, such as the folders on the way, only what they
// are matters. A folder that has only such names may contain other files that are written all the time.
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

// mostLinks is how many links are followed before they are considered a loop.
const mostLinks = 40

// walk goes from the root to the end of path, through its links. It records each link, because the link may be pointed
// elsewhere (a ConfigMap's ..data is), and the end. If the path ends early, walk records the missing name, which may
// appear later.
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
		case err != nil && len(rest) == 0: // when it appears, it is still being written
			p.content(at, name)
			return
		case err != nil: // when it appears, the path is walked again
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

// end records where a path ends, and the folder that contains it, because that may be replaced.
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

// ofInterest stands for the names that Of selects, in a folder that is itself one of the paths. It cannot be the name
// of a file.
const ofInterest = "/"

// ofContent marks a folder with names whose content matters. It cannot be the name of a file.
const ofContent = "//"

// Everything at the end of a path stands for everything in a folder.
const Everything = "*"

// cheapFolders reports whether a folder can be watched without opening each file in it, which kqueue has to do.
func cheapFolders() bool { return runtime.GOOS == "linux" || runtime.GOOS == "windows" }

// Notifier is the part of notify.Watcher that is needed here. A folder that is added twice is watched until it is
// removed twice.
type Notifier interface {
	Add(folder string) error
	AddNames(folder string) error // does not report writes to files
	Remove(folder string)
}

// mostWalks bounds how often paths are walked that keep changing.
const mostWalks = 20

// Follow watches what paths lead through now, and nothing else. A change between looking at a name and watching its
// folder is not reported, so Follow looks again until there is nothing more to watch.
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

// watch watches the folders of names. It reports whether there was a folder that it had not watched before, or not for
// content.
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
	for _, path := range left { // after the others, so that folders that stay watched miss nothing
		system.Remove(path)
	}
	return more, errors.Join(problems...)
}

// begin makes the system watch a folder.
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

// Concerns reports whether a path that the system has reported may be about what is watched. It remembers reports about
// a folder itself until the next Follow.
func (w *Watched) Concerns(path string) bool {
	if f := w.folders[path]; f != nil {
		f.told = true
		return true
	}
	names := w.names[filepath.Dir(path)]
	name := filepath.Base(path)
	return names[name] || names[Everything] || names[ofInterest] && w.Of(name)
}

// Lost says that the system has lost reports: any of the folders may have been removed and made again.
func (w *Watched) Lost() {
	for _, f := range w.folders {
		f.told = true
	}
}
