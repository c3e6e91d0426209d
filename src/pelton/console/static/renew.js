// For pages that the server makes whole: loads them anew while they are looked at, and nobody is about to use them.

const PERIOD_MS = 5000;

setInterval(() => {
  const busy = document.activeElement !== document.body || !getSelection().isCollapsed;
  if (!document.hidden && !busy) location.reload();
}, PERIOD_MS);
