package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// rawPatience bounds what a raw client waits for: a connection, a greeting, a
// write.
const rawPatience = time.Second

// hangUp is how a client ends that was cut before it read an answer.
type hangUp struct {
	greeted bool          // it waits for the other side's first line
	part    float64       // how much of what it had to say it has said: 1 is all
	linger  time.Duration // how long it then stays
	reset   bool          // it is torn away (RST), instead of closing (FIN)
}

// drawHangUp lets chance decide. Every second client says all and goes at
// once; some stay just so long that the answer is on its way.
func drawHangUp(chance *rand.Rand) hangUp {
	h := hangUp{part: 1, reset: chance.IntN(2) == 0}
	switch chance.IntN(4) {
	case 0:
		h.part = chance.Float64()
	case 1:
		h.linger = time.Duration(chance.Int64N(int64(5 * time.Millisecond)))
	}
	return h
}

// sayAndHangUp connects, waits for a greeting if there is one, says its words,
// or a part of them, and goes without reading an answer. An error means that
// it did not come to that.
func sayAndHangUp(ctx context.Context, address string, words []byte, h hangUp) error {
	conn, err := (&net.Dialer{Timeout: rawPatience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(rawPatience)); err != nil {
		return err
	}
	if h.greeted {
		if _, err := bufio.NewReader(conn).ReadBytes('\n'); err != nil {
			return fmt.Errorf("wait for the greeting: %w", err)
		}
	}
	if _, err := conn.Write(words[:int(h.part*float64(len(words)))]); err != nil {
		return err
	}
	pause(ctx, h.linger)
	if tcp, ok := conn.(*net.TCPConn); ok && h.reset {
		return tcp.SetLinger(0)
	}
	return nil
}

// rawRequest is a publish as it goes over the wire.
func rawRequest(host, token string, m Message, contentType string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /v1/publish/%s HTTP/1.1\r\nHost: %s\r\nIdempotency-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n",
		url.PathEscape(m.Subject), host, m.ID, contentType, len(m.Body))
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	b.Write(m.Body)
	return b.Bytes()
}

// rawPub is the same in the words of the NATS protocol, with the connection's
// introduction before it.
func rawPub(token string, m Message) ([]byte, error) {
	hello, err := json.Marshal(struct {
		Verbose  bool   `json:"verbose"`
		Pedantic bool   `json:"pedantic"`
		Headers  bool   `json:"headers"`
		Lang     string `json:"lang"`
		Version  string `json:"version"`
		Token    string `json:"auth_token,omitempty"`
	}{Headers: true, Lang: "drill", Version: "1", Token: token})
	if err != nil {
		return nil, fmt.Errorf("introduce a client: %w", err)
	}
	head := fmt.Sprintf("NATS/1.0\r\nNats-Msg-Id: %s\r\n\r\n", m.ID)
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s\r\nHPUB %s %d %d\r\n%s%s\r\n", hello, m.Subject, len(head), len(head)+len(m.Body), head, m.Body)
	return b.Bytes(), nil
}
