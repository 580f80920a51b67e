var go = document.getElementById("go");
if (keep(go)) location.replace(go.dataset.kept);
else if (go.getAttribute("href")) location.replace(go.href);
