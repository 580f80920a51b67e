package parts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// See waits until a page has loaded and shows what a selector finds: CSS, or
// XPath that begins with //. It asks the page again and again, in one small
// question each: chromedp's own waiting follows the tree of nodes, and loses it
// for good when the page goes on to the next one at the wrong moment.
func See(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := whereIs(ctx, selector)
		return err
	})
}

// Click clicks into the middle of what a selector finds, once it is shown.
func Click(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		at, err := whereIs(ctx, selector)
		if err != nil {
			return err
		}
		return chromedp.MouseClickXY(at[0], at[1]).Do(ctx)
	})
}

// Type focuses what a selector finds, once it is shown, and presses keys.
func Type(selector, keys string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		if _, err := whereIs(ctx, selector); err != nil {
			return err
		}
		if err := chromedp.Evaluate(find(selector)+".focus()", nil).Do(ctx); err != nil {
			return err
		}
		return chromedp.KeyEvent(keys).Do(ctx)
	})
}

func find(selector string) string {
	if strings.HasPrefix(selector, "//") {
		return fmt.Sprintf("document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue", selector)
	}
	return fmt.Sprintf("document.querySelector(%q)", selector)
}

// whereIs answers the middle of what a selector finds, scrolled into view.
func whereIs(ctx context.Context, selector string) ([]float64, error) {
	question := `(() => {
		if (document.readyState !== "complete") return null;
		const e = ` + find(selector) + `;
		if (!e || e.getClientRects().length === 0 || getComputedStyle(e).visibility === "hidden") return null;
		e.scrollIntoView({block: "nearest", behavior: "instant"});
		const r = e.getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`
	for {
		var at []float64
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := chromedp.Evaluate(question, &at).Do(once)
		cancel()
		if err == nil && len(at) == 2 {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", selector, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
