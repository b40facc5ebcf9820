package room_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/base/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRoomIsNeverOverdrawn(t *testing.T) {
	r := room.New(100)
	var most atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			p := r.Part()
			if err := p.Grow(t.Context(), int64(i%60+1), time.Minute); err != nil {
				t.Error(err)
				return
			}
			for now := r.Taken(); ; {
				before := most.Load()
				if now <= before || most.CompareAndSwap(before, now) {
					break
				}
			}
			p.Shrink(0)
		})
	}
	all.Wait()
	if n := most.Load(); n > 100 || r.Taken() != 0 {
		t.Errorf("%d of 100 bytes were held; %d are left", n, r.Taken())
	}
	large, other := r.Part(), r.Part()
	if err := large.Grow(t.Context(), 1000, time.Minute); err != nil {
		t.Errorf("what is larger than all of it is let in alone: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("left"))
	if err := other.Grow(ctx, 1, time.Minute); err == nil || err.Error() != "left" {
		t.Errorf("who left gets %v", err)
	}
	if err := other.Grow(t.Context(), 1, time.Nanosecond); !errors.Is(err, room.ErrFull) {
		t.Errorf("who waits in vain gets %v", err)
	}
	large.Shrink(0)
	if err := other.Grow(t.Context(), 100, time.Minute); err != nil || r.Taken() != 100 {
		t.Errorf("it was not given back: %v", err)
	}
}

// Where all that hold room need more, one of them goes on beyond the bound, and then the next.
func TestPartsThatGrowDoNotWaitForEachOther(t *testing.T) {
	r := room.New(100)
	var all sync.WaitGroup
	begun := make(chan struct{})
	parts := make([]room.Part, 10)
	for i := range parts {
		parts[i] = r.Part()
		if err := parts[i].Grow(t.Context(), 10, time.Minute); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			<-begun
			for to := int64(20); to <= 80; to += 10 {
				if err := parts[i].Grow(t.Context(), to, time.Minute); err != nil {
					t.Error(err)
				}
				if held := r.Taken(); held > 100+80 {
					t.Errorf("%d bytes are held", held)
				}
			}
			parts[i].Shrink(0)
		})
	}
	close(begun)
	all.Wait()
	if r.Taken() != 0 {
		t.Errorf("%d bytes are held", r.Taken())
	}
}

// A small event passes large ones that wait.
func TestSmallPartsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(1 << 20)
		held, large, little := r.Part(), r.Part(), r.Part()
		if err := held.Grow(t.Context(), 1<<19, time.Minute); err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		go func() { waits <- large.Grow(t.Context(), 1<<20, time.Minute) }()
		synctest.Wait()
		if err := little.Grow(t.Context(), 1<<10, time.Nanosecond); err != nil {
			t.Errorf("got %v", err)
		}
		little.Shrink(0)
		held.Shrink(0)
		if err := <-waits; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// A body that is announced and does not come holds next to nothing, and no longer than ctx lasts.
func TestBodiesHoldRoomAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(16 << 20)
		body, client := io.Pipe()
		defer client.Close()
		ctx, end := context.WithCancelCause(t.Context())
		ended := make(chan error)
		go func() {
			p := r.Part()
			_, err := p.Read(ctx, body, 6<<20, 6<<20, time.Minute)
			p.Shrink(0)
			ended <- err
		}()
		if _, err := client.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if held := r.Taken(); held > 64<<10 {
			t.Errorf("%d bytes are held", held)
		}
		end(errors.New("too late"))
		if err := <-ended; err == nil || err.Error() != "too late" || r.Taken() != 0 {
			t.Errorf("got %v, and %d bytes are held", err, r.Taken())
		}
	})
}

func TestBodiesAreReadWhole(t *testing.T) {
	for _, size := range []int{0, 1, 8 << 10, 8<<10 + 1, 100_000} {
		for name, test := range map[string]struct {
			length, most int64
			err          error
		}{
			"known": {int64(size), 100_000, nil}, "unknown": {-1, 100_000, nil}, "cut": {int64(size) + 1, 100_001, io.ErrUnexpectedEOF},
			"too long": {int64(size), int64(size) - 1, room.ErrTooLong}, "unknown and too long": {-1, int64(size) - 1, room.ErrTooLong},
		} {
			p := room.New(1 << 20).Part()
			text := strings.Repeat("x", size)
			got, err := p.Read(t.Context(), io.NopCloser(strings.NewReader(text)), test.length, test.most, time.Minute)
			if !errors.Is(err, test.err) || err == nil && string(got) != text || p.Bytes() > 4*(int64(size)+8<<10) {
				t.Errorf("%d bytes, %s: %d came, %v, with %d of room", size, name, len(got), err, p.Bytes())
			}
		}
	}
}

// held grows parts of an owner by so many bytes each, until one is not given them.
func held(t *testing.T, r *room.Room, bytes int64, owners ...room.Owner) (parts []*room.Part) {
	t.Helper()
	for {
		p := r.Part(owners...)
		if !p.Try(bytes) {
			return parts
		}
		parts = append(parts, &p)
	}
}

func giveBack(parts ...*room.Part) {
	for _, p := range parts {
		p.Shrink(0)
	}
}

// However many an owner's parts are, it leaves something to others, and each of these something to the next.
func TestNoOwnerHasAllTheRoom(t *testing.T) {
	r := room.New(64 << 20)
	first := held(t, r, 1<<20, "a")
	second := held(t, r, 1<<20, "b")
	third := held(t, r, 1<<20, "c")
	if len(first) != 48 || len(second) != 12 || len(third) != 3 {
		t.Errorf("they hold %d, %d and %d of 64", len(first), len(second), len(third))
	}
	giveBack(first...)
	if more := held(t, r, 1<<20, "c"); len(more) < 30 {
		t.Errorf("of what the first has given back, the third gets %d", len(more))
	}
}

func TestWhatIsSmallHasALargerShare(t *testing.T) {
	r := room.New(64 << 20)
	large := held(t, r, 1<<20, "a")
	small := held(t, r, 32<<10, "a")
	if taken := r.Taken(); len(large) != 48 || taken != 56<<20 {
		t.Errorf("%d large parts and %d small ones hold %d bytes", len(large), len(small), taken)
	}
}

// Each of a part's owners must have a share for it.
func TestPartsOfTwoOwners(t *testing.T) {
	r := room.New(64 << 20)
	parts := held(t, r, 1<<20, 1, "f")
	if len(parts) != 48 {
		t.Errorf("they hold %d", len(parts))
	}
	for _, owners := range [][]room.Owner{{1, "g"}, {2, "f"}} {
		if more := held(t, r, 1<<20, owners...); len(more) != 0 {
			t.Errorf("%v hold %d more", owners, len(more))
		}
	}
	if more := held(t, r, 1<<20, 2, "g"); len(more) != 12 {
		t.Errorf("others hold %d", len(more))
	}
	giveBack(parts[:24]...)
	if more := held(t, r, 1<<20, 1, "g"); len(more) == 0 {
		t.Error("nothing was given back to one of them")
	}
}

// Parts of one owner that hold its share and need more do not wait for each other, nor anybody for them.
func TestPartsOfOneOwnerDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(64 << 20)
		parts := held(t, r, 1<<20, "a")
		var all sync.WaitGroup
		for _, p := range parts {
			all.Go(func() {
				for to := int64(2); to <= 8; to++ {
					if err := p.Grow(t.Context(), to<<20, time.Minute); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
				p.Shrink(0)
			})
		}
		synctest.Wait()
		other := r.Part("b")
		if err := other.Grow(t.Context(), 6<<20, time.Nanosecond); err != nil {
			t.Errorf("another one: %v", err)
		}
		other.Shrink(0)
		all.Wait()
		if left := r.Taken(); left != 0 {
			t.Errorf("%d bytes are held", left)
		}
	})
}

// As many as wait of one owner, one more of its parts does not; those of others do.
func TestNotAllMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(1 << 20)
		parts := held(t, r, 256<<10, "a")
		const waiting = 512
		gave := make(chan error, waiting)
		for range waiting {
			go func() {
				p := r.Part("a")
				gave <- p.Grow(t.Context(), 512<<10, time.Minute)
				p.Shrink(0)
			}()
		}
		synctest.Wait()
		begin := time.Now()
		one, other := r.Part("a"), r.Part("b")
		if err := one.Grow(t.Context(), 512<<10, time.Minute); !errors.Is(err, room.ErrFull) || time.Since(begin) != 0 {
			t.Errorf("one more: %v after %v", err, time.Since(begin))
		}
		if err := other.Grow(t.Context(), 1<<20, time.Second); !errors.Is(err, room.ErrFull) || time.Since(begin) != time.Second {
			t.Errorf("another one: %v after %v", err, time.Since(begin))
		}
		giveBack(parts...)
		for range waiting {
			if err := <-gave; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if left := r.Taken(); left != 0 {
			t.Errorf("%d bytes are held", left)
		}
	})
}

func TestWhatMustBeIsHeld(t *testing.T) {
	r := room.New(100)
	p := r.Part("a")
	if !p.Try(100) || p.Try(101) || !p.Try(50) || p.Bytes() != 100 {
		t.Errorf("it holds %d", p.Bytes())
	}
	if p.Insist(120); p.Bytes() != 120 || r.Taken() != 120 {
		t.Errorf("it holds %d of %d", p.Bytes(), r.Taken())
	}
	if p.Shrink(0); r.Taken() != 0 {
		t.Errorf("%d are held", r.Taken())
	}
}

// Whatever parts do, what is held is what they say, and nobody waits who could be given room.
func TestRoomAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 1000
		r := room.New(most)
		parts := make([]room.Part, 6)
		for i := range parts {
			parts[i] = r.Part(i%2, "f")
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p := &parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")]
			before, to := p.Bytes(), rapid.Int64Range(0, 400).Draw(t, "to")
			switch given := p.Try(to); {
			case !given && p.Bytes() != before, given && p.Bytes() != max(before, to):
				t.Fatalf("from %d to %d: it holds %d", before, to, p.Bytes())
			case !given || rapid.Bool().Draw(t, "shrinks"):
				p.Shrink(to / 2)
			}
			sum := int64(0)
			for i := range parts {
				sum += parts[i].Bytes()
			}
			if sum != r.Taken() || sum > most {
				t.Fatalf("parts hold %d, the room %d", sum, r.Taken())
			}
		}
		for i := range parts {
			parts[i].Shrink(0)
		}
		if whole := r.Part("new"); !whole.Try(most) {
			t.Fatal("what was given back is not free")
		}
	})
}
