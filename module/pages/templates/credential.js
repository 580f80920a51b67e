var box = document.getElementById("credential"), button = box.querySelector("button"), answer = box.querySelector("input");
var waiting = null;
function show(what) {
  box.querySelectorAll("[data-case]").forEach(function (e) { e.hidden = e.dataset.case !== what; });
}
function bytes(text) {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), function (c) { return c.charCodeAt(0); });
}
function text(buffer) {
  return btoa(Array.from(new Uint8Array(buffer), function (b) { return String.fromCharCode(b); }).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}
// What is bytes for a browser travels in base64url (WebAuthn Level 3, 5.1.8 to 5.1.10).
function wanted() {
  var o = JSON.parse(box.dataset.options);
  o.challenge = bytes(o.challenge);
  if (o.user) o.user.id = bytes(o.user.id);
  [o.excludeCredentials, o.allowCredentials].forEach(function (list) {
    if (list) list.forEach(function (c) { c.id = bytes(c.id); });
  });
  return o;
}
function told(c) {
  var r = c.response, out = { clientDataJSON: text(r.clientDataJSON) };
  ["attestationObject", "authenticatorData", "signature", "userHandle"].forEach(function (name) {
    if (r[name]) out[name] = text(r[name]);
  });
  if (r.getTransports) out.transports = r.getTransports();
  return JSON.stringify({
    id: c.id, rawId: text(c.rawId), type: c.type, response: out,
    authenticatorAttachment: c.authenticatorAttachment || undefined, clientExtensionResults: c.getClientExtensionResults()
  });
}
function send(c) {
  answer.value = told(c);
  HTMLFormElement.prototype.submit.call(answer.form);
}
function ask(mediation) {
  if (waiting) waiting.abort();
  waiting = new AbortController();
  var o = { publicKey: wanted(), signal: waiting.signal };
  if (mediation) o.mediation = mediation;
  return ("create" in box.dataset ? navigator.credentials.create(o) : navigator.credentials.get(o)).then(send);
}
if (!window.PublicKeyCredential || !navigator.credentials) {
  show("unsupported");
} else {
  button.hidden = false;
  if (document.activeElement === document.body && button.type === "submit") button.focus();
  button.addEventListener("click", function (e) {
    e.preventDefault();
    show("");
    button.disabled = true;
    ask().catch(function (x) {
      button.disabled = false;
      button.focus();
      show(x.name === "InvalidStateError" ? "known" : "failed");
    });
  });
  if ("conditional" in box.dataset && PublicKeyCredential.isConditionalMediationAvailable) {
    PublicKeyCredential.isConditionalMediationAvailable().then(function (yes) {
      if (yes && !waiting) return ask("conditional");
    }).catch(function () {}); // nobody picked one: the rest of the page is there
  }
}
