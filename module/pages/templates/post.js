var post = document.getElementById("post");
if (keep(post)) location.replace(post.dataset.kept);
// Not post.submit(): a field may be called "submit" and hide it.
else HTMLFormElement.prototype.submit.call(post);
