HTMLFormElement.prototype.submit.call(document.getElementById("post"));
