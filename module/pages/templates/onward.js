// Not form.submit(): a field may be called "submit" and hide it. A template of the
// operator's own may lack the button: then people press theirs.
var onward = document.getElementById("onward");
if (onward) HTMLFormElement.prototype.submit.call(onward.form);
