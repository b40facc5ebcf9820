package kubernetes

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// mirror is the store that a reflector keeps up to date. It copies what endpoints need into the catalog and does not
// keep the objects.
type mirror struct {
	watch *watch
	of    int
	asked selection
}

var (
	_ cache.ReflectorStore         = (*mirror)(nil)
	_ cache.ReflectorBookmarkStore = (*mirror)(nil)
	_ cache.TransformingStore      = (*mirror)(nil)
)

// Add implements cache.ReflectorStore.
func (m *mirror) Add(object any) error { return m.put(object, false) }

// Update implements cache.ReflectorStore.
func (m *mirror) Update(object any) error { return m.put(object, false) }

// Delete implements cache.ReflectorStore.
func (m *mirror) Delete(object any) error { return m.put(object, true) }

// Resync implements cache.ReflectorStore.
func (m *mirror) Resync() error { return nil }

// Bookmark implements cache.ReflectorBookmarkStore: nothing is new, and the watch is working.
func (m *mirror) Bookmark(string) error {
	heard := time.Now()
	m.watch.mu.Lock()
	defer m.watch.mu.Unlock()
	m.watch.wakeAll(heard)
	return nil
}

// Transformer implements cache.TransformingStore: while a list is received, its objects are in memory whole.
func (m *mirror) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		switch o := object.(type) {
		case *discoveryv1.EndpointSlice:
			o.ManagedFields, o.OwnerReferences, o.Annotations = nil, nil, nil
		case *corev1.Service:
			o.ManagedFields, o.Annotations = nil, nil
		}
		return object, nil
	}
}

// put stores one object.
func (m *mirror) put(object any, gone bool) error {
	heard, w := time.Now(), m.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	services, err := w.catalog.put(object, gone)
	for _, k := range services {
		w.wake(k, heard)
	}
	return err
}

// Replace implements cache.ReflectorStore: the list is everything that was asked for.
func (m *mirror) Replace(list []any, _ string) error {
	heard, fresh := time.Now(), newCatalog()
	for _, object := range list {
		if _, err := fresh.put(object, false); err != nil {
			return err
		}
	}
	w := m.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.of == ofServices {
		w.catalog.services = fresh.services
	} else {
		w.catalog.slices, w.catalog.owners = fresh.slices, fresh.owners
	}
	w.seen[m.of] = m.asked.got(m.of)
	w.wakeAll(heard)
	return nil
}
