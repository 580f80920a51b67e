var go = document.getElementById("go"), name = "sallyport." + go.dataset.key, to = null;
try {
  var kept = sessionStorage.getItem(name);
  // Taken once, so that a page that sends people back here is no loop.
  sessionStorage.removeItem(name);
  if (kept) to = new URL(kept);
} catch (x) {
  to = null;
}
// The application's scripts can write to this storage, too: only our own origin.
if (to && to.origin === location.origin) location.replace(to.href);
else if (go.getAttribute("href")) location.replace(go.href);
