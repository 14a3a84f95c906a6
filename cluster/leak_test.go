package cluster

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A file that somebody broke with a few slips of the keyboard never gives its
// secrets away, however little of it can be understood.
func TestBrokenFilesKeepSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter22"
	good := `cluster: landfall
nodes:
  n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231 }
streams:
  MESSAGES:
    subjects: [messages, "messages.>"]
postgres:
  url: postgres://app:hunter22@127.0.0.1:55432/app
  migrate_url: "host=h password=hunter22 dbname=app"
auth:
  token: hunter22hunter22
`
	slips := []string{"", "", "", " ", "\n", "\t", ":", "{", "}", "[", "'", `"`, "-", "$", "${", "|", ">", "&", "*", "#", "x", "@", "/", "%", "\x00", "ä"}
	// The default number of tries finds too little among so many slips.
	for range 20 {
		rapid.Check(t, func(t *rapid.T) {
			text := good
			for range rapid.IntRange(1, 4).Draw(t, "slips") {
				at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
				slip := rapid.SampledFrom(slips).Draw(t, "slip")
				changed := text[:at] + slip + text[at+1:]
				if strings.Count(changed, secret) == strings.Count(text, secret) {
					text = changed
				}
			}
			doc := &document{file: "cluster.yaml", env: noEnv}
			doc.load(text)
			if told := doc.problems.Error(); strings.Contains(told, secret) {
				t.Fatalf("the file\n%s\ngives it away:\n%s", text, told)
			}
		})
	}
}
