// Go's httputil.ReverseProxy in turn before the given backends: a peer of bench/run.
//
// usage: goproxy ADDRESS BACKEND...
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: goproxy ADDRESS BACKEND...")
	}
	backends := os.Args[2:]
	var turn uint64
	proxy := &httputil.ReverseProxy{
		Director: func(request *http.Request) {
			next := atomic.AddUint64(&turn, 1)
			request.URL.Scheme = "http"
			request.URL.Host = backends[next%uint64(len(backends))]
		},
		Transport: &http.Transport{
			MaxIdleConns:        0, // no limit
			MaxIdleConnsPerHost: 512,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
	}
	server := &http.Server{Addr: os.Args[1], Handler: proxy, IdleTimeout: 2 * time.Minute}
	log.Fatal(server.ListenAndServe())
}
