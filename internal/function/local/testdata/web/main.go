// Command web is a function for tests that serves HTTP on PORT.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Println("cannot find my config")
		os.Exit(7)
	case "hang":
		select {}
	case "taken": // the first time, as if somebody else had the port
		if file, err := os.OpenFile(os.Getenv("MARK"), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = file.Close()
			fmt.Printf("listen tcp %s:%s: bind: address already in use\n", os.Getenv("HOST"), os.Getenv("PORT"))
			os.Exit(1)
		}
	}
	http.HandleFunc("/", echo)
	http.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"pid":%d}`, os.Getpid()) })
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"env": os.Environ()})
	})
	http.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) {
		fmt.Println("hangs")
		select {}
	})
	http.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "hinted")
	})
	http.HandleFunc("/hints-without-end", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, "slow")
	})
	http.HandleFunc("/upgrade", upgrade)
	http.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	})
	_ = http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil)
}

// echo sends each piece of the body back as soon as it has come.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	w.Header().Set("X-Target", r.Host+r.RequestURI)
	w.Header().Set("X-Agent", fmt.Sprint(r.Header["User-Agent"]))
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	piece := make([]byte, 1024)
	for {
		n, err := r.Body.Read(piece)
		_, _ = w.Write(piece[:n])
		_ = control.Flush()
		if err != nil {
			return
		}
	}
}

func upgrade(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, _ := http.NewResponseController(w).Hijack()
	defer func() { _ = conn.Close() }()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}
