package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/weir-gateway/weir/internal/discovery"
)

// watch keeps the known state of the Services of a namespace, or of the cluster, as current as possible. It asks for
// the slices of the wanted Services as long as these are few, and otherwise for all slices.
type watch struct {
	client    *client
	namespace string // "" is all
	log       *slog.Logger
	users     int // guarded by the source

	stop    context.CancelFunc
	done    chan struct{}
	changed chan struct{} // holds a value if what is wanted has changed

	mu      sync.Mutex
	catalog *catalog
	wanted  map[key][]chan<- time.Time // which get the time when something was received
	// For the Services and for their slices:
	seen    [2]selection // what is known completely
	trouble [2]error     // why it may be out of date
}

// What a watch asks for.
const (
	ofServices = iota
	ofSlices
)

func newWatch(c *client, namespace string, log *slog.Logger) *watch {
	return &watch{
		client: c, namespace: namespace, log: log, done: make(chan struct{}), changed: make(chan struct{}, 1),
		catalog: newCatalog(), wanted: map[key][]chan<- time.Time{},
	}
}

// selection is what a watch asks for. The zero value is nothing.
type selection struct {
	all   bool
	names string // of Services, sorted, with commas between and around them
}

// mostSelected is how many Services are asked for by name: 16 names of 63 letters make a URL of 1 KB.
const mostSelected = 16

func (s selection) list() []string {
	return strings.FieldsFunc(s.names, func(r rune) bool { return r == ',' })
}

func (s selection) has(name string) bool {
	return s.all || strings.Contains(s.names, ","+name+",")
}

// selected returns what is to be asked for; the zero value if nothing is wanted. A watch of the cluster asks for all of
// it, because the names come from several namespaces.
func (w *watch) selected() selection {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.wanted) == 0:
		return selection{}
	case w.namespace == "" || len(w.wanted) > mostSelected:
		return selection{all: true}
	}
	names := make([]string, 0, len(w.wanted))
	for k := range w.wanted {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return selection{names: "," + strings.Join(names, ",") + ","}
}

// options sets how the API server is asked for a selection.
func (s selection) options(of int, o *metav1.ListOptions) {
	names := s.list()
	switch {
	case s.all:
	case of == ofSlices:
		o.LabelSelector = discoveryv1.LabelServiceName + " in (" + strings.Join(names, ",") + ")"
	case len(names) == 1: // a field selector cannot name several
		o.FieldSelector = "metadata.name=" + names[0]
	}
}

// got returns what the answer contains.
func (s selection) got(of int) selection {
	if of == ofServices && len(s.list()) > 1 {
		return selection{all: true}
	}
	return s
}

// start begins to watch.
func (w *watch) start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	// client-go would log each error too; it is reported below, and not twice.
	ctx = klog.NewContext(ctx, logr.Discard())
	go w.run(ctx)
}

func (w *watch) end() {
	w.stop()
	<-w.done
}

// together is how long the first request waits for others, because at a start they all come at once.
const together = 5 * time.Millisecond

// run asks for what is wanted, again whenever that changes, until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(together):
			w.ask(ctx, w.selected())
		}
	}
}

// ask keeps a selection up to date until another one is wanted.
func (w *watch) ask(ctx context.Context, asked selection) {
	asking, stop := context.WithCancel(ctx)
	var reflectors sync.WaitGroup
	if asked != (selection{}) {
		reflectors.Go(func() { w.reflect(asking, ofServices, asked) })
		reflectors.Go(func() { w.reflect(asking, ofSlices, asked) })
	}
	for ctx.Err() == nil && w.selected() == asked {
		select {
		case <-ctx.Done():
		case <-w.changed:
		}
	}
	stop()
	reflectors.Wait()
}

// reflect lists and watches one kind of objects until ctx ends.
func (w *watch) reflect(ctx context.Context, of int, asked selection) {
	from, resource, example := w.client.services, "services", runtime.Object(&corev1.Service{})
	if of == ofSlices {
		from, resource, example = w.client.slices, "endpointslices", &discoveryv1.EndpointSlice{}
	}
	store := &mirror{watch: w, of: of, asked: asked}
	cache.NewReflectorWithOptions(w.asker(from, resource, of, asked), example, store, cache.ReflectorOptions{
		Name: "weir", Clock: endingClock{ctx: ctx},
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Cap: longestPause, Steps: 20, Factor: 2, Jitter: 0.5},
	}).RunWithContext(ctx)
}

// longestPause is the longest time after which an API server that is back is asked again.
const longestPause = 10 * time.Second

// listTime limits the time of a list, here and at the server.
const listTime = time.Minute

// asker lists and watches, and reports how that goes.
func (w *watch) asker(from *rest.RESTClient, resource string, of int, asked selection) *cache.ListWatch {
	request := func(o *metav1.ListOptions) *rest.Request {
		asked.options(of, o)
		return from.Get().Namespace(w.namespace).Resource(resource).VersionedParams(o, metav1.ParameterCodec)
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			got, err := request(&o).Timeout(listTime).Do(ctx).Get()
			w.tell(ctx, of, resource, err)
			return got, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.Watch = true
			got, err := request(&o).Watch(ctx)
			if !errors.IsInvalid(err) { // it does not support lists as streams (before 1.32), and is asked for a list
				w.tell(ctx, of, resource, err)
			}
			return got, err
		},
	}
}

// tell records how requests go. An error that is retried at once is no trouble: a version that is too old, or that the
// server does not have yet.
func (w *watch) tell(ctx context.Context, of int, resource string, err error) {
	if ctx.Err() != nil || errors.IsResourceExpired(err) || errors.IsGone(err) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || w.trouble[of] != nil {
		w.trouble[of] = explained(err, w.namespace, resource)
		w.wakeAll(time.Now())
	}
}

// forbiddenError means that the API server does not let Weir read.
type forbiddenError struct{ cause error }

func (e *forbiddenError) Error() string {
	return e.cause.Error() + "; Weir's service account needs a Role with `list` and `watch` of services and endpointslices"
}

func (e *forbiddenError) Unwrap() error { return e.cause }

// explained adds to an error what was requested; nil for nil.
func explained(err error, namespace, resource string) error {
	if err == nil {
		return nil
	}
	where := "the namespace " + namespace
	if namespace == "" {
		where = "the cluster"
	}
	told := fmt.Errorf("%s of %s: %w", resource, where, err)
	if errors.IsForbidden(err) {
		return &forbiddenError{told}
	}
	return told
}

// endingClock is the real clock, except that no pause lasts longer than ctx; one of the reflector's pauses would.
type endingClock struct {
	clock.RealClock

	ctx context.Context //nolint:containedctx // it is what the clock is of
}

// After implements clock.Clock.
func (c endingClock) After(d time.Duration) <-chan time.Time {
	pause, cancel := context.WithTimeout(c.ctx, d)
	over := make(chan time.Time, 1)
	context.AfterFunc(pause, func() {
		over <- time.Now()
		cancel()
	})
	return over
}

// want makes wake receive whatever is new about a Service.
func (w *watch) want(k key, wake chan<- time.Time) {
	w.mu.Lock()
	w.wanted[k] = append(w.wanted[k], wake)
	w.mu.Unlock()
	w.again()
	poke(wake, time.Now()) // it may be known already
}

func (w *watch) dismiss(k key, wake chan<- time.Time) {
	w.mu.Lock()
	w.wanted[k] = slices.DeleteFunc(w.wanted[k], func(other chan<- time.Time) bool { return other == wake })
	if len(w.wanted[k]) == 0 {
		delete(w.wanted, k)
	}
	w.mu.Unlock()
	w.again()
}

// again makes the watch check again what is to be asked for.
func (w *watch) again() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// poke sends the time when something was received. A receiver that has not read an earlier time keeps that one.
func poke(c chan<- time.Time, heard time.Time) {
	select {
	case c <- heard:
	default:
	}
}

// wake notifies the subscribers of a Service. w is locked.
func (w *watch) wake(k key, heard time.Time) {
	for _, c := range w.wanted[k] {
		poke(c, heard)
	}
}

func (w *watch) wakeAll(heard time.Time) {
	for k := range w.wanted {
		w.wake(k, heard)
	}
}

// found is the known state of one Service.
type found struct {
	known   bool // it is known whether there is such a Service, and its endpoints
	list    []discovery.Endpoint
	err     error // why there are no endpoints, according to the known state
	trouble error // why it may have changed meanwhile
}

// look returns the known state of a Service; name is the one that certificates are for.
func (w *watch) look(ref reference, name string) found {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := found{known: w.seen[ofServices].has(ref.name) && w.seen[ofSlices].has(ref.name), trouble: w.trouble[ofServices]}
	if f.trouble == nil {
		f.trouble = w.trouble[ofSlices]
	}
	if f.known {
		f.list, f.err = w.catalog.endpoints(ref, name)
	}
	return f
}
