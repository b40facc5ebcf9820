package compile

import (
	"crypto/sha256"
	"maps"
	"strings"
	"sync"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// secrets resolves what the configs of one Compiler refer to. Within one build each secret is read once, so that a
// snapshot has one value of it. A secret that the previous config could read but that is gone now keeps its value: the
// snapshot that serves has it anyway, and a wrong mount of one team should not keep every other team from making
// changes.
type secrets struct {
	resolve func(secret.Template) (secret.Value, error)
	watch   bool // record the files; false if a config is only checked

	mu    sync.Mutex
	now   map[string]found // read by the current build, or the last one
	good  map[string]secret.Value
	files map[string][sha256.Size]byte
}

// found is the result of reading one secret.
type found struct {
	value secret.Value
	err   error
	lost  error // why it could not be read, if value is the previous one
}

func newSecrets(o Options) *secrets {
	return &secrets{resolve: o.Secret, watch: !o.check, now: map[string]found{}}
}

// begin begins a build.
func (s *secrets) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.files = map[string]found{}, map[string][sha256.Size]byte{}
}

// get returns a secret's value.
func (s *secrets) get(t secret.Template) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := secretKey(t)
	if f, ok := s.now[key]; ok {
		return f.value, f.err
	}
	if s.watch { // before the file is read, so that no change in between is missed
		maps.Copy(s.files, t.Files())
	}
	var f found
	f.value, f.err = s.resolve(t)
	if before, ok := s.good[key]; ok && f.err != nil {
		f = found{value: before, lost: f.err}
	}
	s.now[key] = f
	return f.value, f.err
}

// secretKey identifies what a template refers to, and is a secret itself.
func secretKey(t secret.Template) string {
	var b strings.Builder
	b.WriteString(t.Base)
	for _, p := range t.Parts {
		b.WriteString("\x00" + p.Source + "\x00" + p.Text)
	}
	return b.String()
}

// keep makes the values of the last build those that may replace lost ones.
func (s *secrets) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = make(map[string]secret.Value, len(s.now))
	for key, f := range s.now {
		if f.err == nil {
			s.good[key] = f.value
		}
	}
}

// all returns the files of the last build.
func (s *secrets) all() map[string][sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.files)
}

// warn adds a warning for each secret that the last build could not read.
func (s *secrets) warn(ps *doc.Problems) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.now {
		if f.lost != nil {
			ps.Add(doc.Problem{
				Severity: doc.Warning, What: "a secret cannot be read any more: " + f.lost.Error(),
				Why: "the value that it had is used until the gateway ends", Fix: "bring it back, or remove what refers to it",
			})
		}
	}
}
