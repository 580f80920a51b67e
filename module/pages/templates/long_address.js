var go = document.getElementById("go");
try {
  if (go.getAttribute("href")) {
    sessionStorage.setItem("sallyport." + go.dataset.key, location.origin + go.dataset.back + location.hash);
    location.replace(go.href);
  }
} catch (x) {
  // storage is off: the person sees the page and its button
}
