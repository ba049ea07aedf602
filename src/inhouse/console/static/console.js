// Refreshes the status page in place. Without it the page still shows everything, as of its loading.
"use strict";
(() => {
  const status = document.getElementById("status");
  const freshness = document.getElementById("freshness");
  const everyMs = Number(status.dataset.everyMs);
  let shown = "";
  let since = new Date();

  const say = (words, isStale) => {
    if (freshness.textContent !== words) freshness.textContent = words;
    freshness.classList.toggle("stale", isStale);
  };

  const isBusy = () => {
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed && status.contains(selection.anchorNode);
  };

  const replace = (html) => {
    const focused = status.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    status.replaceChildren(fresh.content);
    if (focused !== null) {
      for (const link of status.querySelectorAll("a[href]")) {
        if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
      }
    }
  };

  const refresh = async () => {
    if (document.hidden || isBusy()) return;
    try {
      const reply = await fetch(status.dataset.fragment, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
      const html = await reply.text();
      if (html !== shown) { replace(html); shown = html; }
      since = new Date();
      say("live", false);
    } catch {
      say(`control does not answer; as of ${since.toLocaleTimeString()}`, true);
    }
  };

  const loop = async () => { await refresh(); setTimeout(loop, everyMs); };
  document.addEventListener("visibilitychange", refresh);
  say("live", false);
  setTimeout(loop, everyMs);
})();
