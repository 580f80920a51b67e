var go = document.getElementById("go");
location.replace(keep(go) ? go.dataset.kept : go.href);
