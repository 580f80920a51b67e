var kept = document.getElementById("kept");
if (kept && keep(kept)) kept.value = kept.dataset.key;
