package process

import (
	"net"
	"net/http"
	"sync"
)

// idlers lets idle connections go while others wait to be taken: without it,
// clients that keep theirs open for later would lock out everybody else.
type idlers struct {
	server *http.Server
	limit  int // of connections

	mu      sync.Mutex // guards the rest
	open    int
	crowded bool
}

// letIdlersGo watches over the server's connections, of which there are at
// most limit.
func letIdlersGo(server *http.Server, limit int) {
	i := &idlers{server: server, limit: limit}
	server.ConnState = i.changed
}

// changed counts. When most of the room is taken, connections serve one
// request each and idle ones are closed, until half of the room is free.
func (i *idlers) changed(_ net.Conn, state http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch state {
	case http.StateNew:
		i.open++
	case http.StateClosed, http.StateHijacked:
		i.open--
	case http.StateActive, http.StateIdle:
		return
	}
	if crowded := i.open > i.limit*3/4 || i.crowded && i.open > i.limit/2; crowded != i.crowded {
		i.crowded = crowded
		i.server.SetKeepAlivesEnabled(!crowded)
	}
}
