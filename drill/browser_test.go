package drill

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browserVar makes a missing browser a failure rather than a test left out.
const browserVar = "LANDFALL_BROWSER"

// findBrowser is the Chromium of this machine. Without one the test is skipped.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const what = "there is no Chromium here (apt-get install chromium)"
	if os.Getenv(browserVar) != "" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}

// tab is one of a headless browser, in which a test sees what a person would.
type tab struct {
	t   *testing.T
	ctx context.Context
	dir string // of screenshots

	mu        sync.Mutex
	complains []string // of the page, in the browser's console
}

// newTab starts a browser of its own, which ends with the test.
func newTab(t *testing.T, within time.Duration) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	limited, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	allocator, end := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(end)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	b := &tab{t: t, ctx: ctx, dir: t.ArtifactDir()}
	b.run("start the browser")
	listening := make(chan struct{})
	heard := chromedp.Console(ctx)
	go func() {
		defer close(listening)
		for m, err := range heard {
			if err != nil {
				return
			}
			b.hear(m)
		}
	}()
	t.Cleanup(func() { cancel(); <-listening })
	return b
}

// hear keeps what the page complains of.
func (b *tab) hear(m chromedp.ConsoleMessage) {
	switch m.Type {
	case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complains = append(b.complains, string(m.Type)+": "+m.Text+" "+m.URL)
	}
}

// quiet fails the test if the page has complained, except of what is expected
// by a part of its text, and forgets it.
func (b *tab) quiet(except ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.complains {
		expected := false
		for _, part := range except {
			expected = expected || strings.Contains(said, part)
		}
		if !expected {
			b.t.Errorf("the page complains: %s", said)
		}
	}
	b.complains = nil
}

func (b *tab) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// open loads a page, and counts how far its parts move from then on.
func (b *tab) open(url string) {
	b.t.Helper()
	b.run("open "+url, chromedp.Navigate(url), chromedp.WaitReady("#verdict"))
}

// ask is what an action gives.
func ask[T any](b *tab, what string, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// value is what an expression gives in the page.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	return ask(b, expression, chromedp.Evaluate[T](expression))
}

// emulate has the browser behave like another.
func emulate[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// text is what a person reads at the first element that a selector names; "" if
// there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(value[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))), " ")
}

// reads waits until a text holds, and tells how long that took.
func (b *tab) reads(selector string, within time.Duration, what string, holds func(string) bool) time.Duration {
	b.t.Helper()
	began, got := time.Now(), ""
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < within {
		if got = b.text(selector); holds(got) {
			return time.Since(began)
		}
		<-tick.C
	}
	b.shoot("failed")
	b.t.Fatalf("%s: not within %s; %s reads %q", what, within, selector, got)
	return 0
}

// says waits until a text has a part.
func (b *tab) says(selector, part string, within time.Duration) time.Duration {
	b.t.Helper()
	return b.reads(selector, within, fmt.Sprintf("%q", part), func(got string) bool { return strings.Contains(got, part) })
}

// shoot keeps a picture of the whole page.
func (b *tab) shoot(name string) {
	b.t.Helper()
	picture := ask(b, "take a picture", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(b.dir, name+".png"), picture, 0o644); err != nil {
		b.t.Error(err)
	}
}

// looks takes pictures of the page as it is now, in light, dark and on a phone,
// and fails the test where a text stands out too little or does not fit.
func (b *tab) looks(name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.run("in "+scheme, emulate(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
		b.shoot(name + "-" + scheme)
		for _, faint := range value[[]string](b, faintTexts) {
			b.t.Errorf("%s, %s: too little contrast: %s", name, scheme, faint)
		}
	}
	b.run("on a phone", emulate(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}), chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile))
	b.shoot(name + "-phone")
	if wide := value[float64](b, `document.documentElement.scrollWidth`); wide > 390 {
		b.t.Errorf("%s: on a phone of 390 pixels the page is %v wide", name, wide)
	}
	b.run("on a screen", chromedp.EmulateViewport(1280, 900))
}

// faintTexts are the texts whose contrast with what is behind them is below
// 4.5 to 1, which WCAG 2.1 asks for (success criterion 1.4.3).
const faintTexts = `(() => {
  const numbers = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { rgb: m.slice(0, 3), a: m[3] ?? 1 }; };
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if (c.a > 0) return c.rgb; } return [255, 255, 255]; };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode());) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.checkVisibility() || e.closest(".unseen, script, template")) continue;
    const style = getComputedStyle(e);
    const colour = numbers(e instanceof SVGElement ? style.fill : style.color).rgb;
    const a = light(colour), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(ratio.toFixed(2) + " " + e.tagName + "." + e.className + " " + n.data.trim().slice(0, 40));
  }
  return faint;
})()`

// still tells how far the parts of the page have moved by themselves, as a
// cumulative layout shift, over the given time.
func (b *tab) still(d time.Duration) {
	b.t.Helper()
	value[bool](b, `window.shifted = 0;
		new PerformanceObserver((l) => { for (const e of l.getEntries()) if (!e.hadRecentInput) window.shifted += e.value; }).observe({type: "layout-shift"}); true`)
	b.run("watch for shifts", chromedp.Sleep(d))
	if moved := value[float64](b, `window.shifted`); moved > 0 || math.IsNaN(moved) {
		b.t.Errorf("while numbers changed the page moved by %v", moved)
	}
}

// withoutScripts is what a browser shows that runs none.
func (b *tab) withoutScripts(url, selector string) string {
	b.t.Helper()
	b.run("without JavaScript", emulate(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(url))
	html := ask(b, "read it", chromedp.TextContent(selector))
	b.run("with JavaScript again", emulate(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{}))
	return strings.Join(strings.Fields(html), " ")
}
