// The part of the address behind "#" never reaches a server: it is kept here, in
// this tab, with the address that was wanted, until the sign-in is over.
function keep(e) {
  if (location.hash.length < 2 || !e.dataset.key) return false;
  try {
    sessionStorage.setItem("sallyport." + e.dataset.key, location.origin + e.dataset.back + location.hash);
    return true;
  } catch (x) {
    return false; // storage is off: the sign-in works, the fragment is lost
  }
}
