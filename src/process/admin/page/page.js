// What changes comes piece by piece, each made by the daemon as in the document; without this
// script the page is the same, as of the moment when it was loaded.
"use strict";
(() => {
  const live = document.getElementById("live");
  let heardAt = Date.now();

  const ago = (seconds) => {
    if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
  };

  const dateTimes = (root) => {
    for (const time of root.querySelectorAll("time")) {
      const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
      time.title = time.dateTime;
      time.textContent = `${ago(seconds)} ago`;
    }
  };

  const say = () => {
    const silent = (Date.now() - heardAt) / 1000;
    live.classList.toggle("stale", silent > 5);
    const text = silent > 5 ? `no news for ${ago(silent)}` : "live";
    if (live.textContent !== text) live.textContent = text;
  };

  const replace = ([id, html]) => {
    const old = document.getElementById(id);
    if (!old) return;
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    // Who reads with the keyboard or a screen reader keeps the place.
    if (!fresh || old.contains(document.activeElement)) return;
    const state = (element) => element.querySelector(".badge")?.textContent;
    if (state(old) !== state(fresh)) fresh.classList.add("changed");
    old.replaceWith(fresh);
    dateTimes(fresh);
  };

  const reshape = async () => {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("main").replaceWith(page.getElementById("main"));
    dateTimes(document);
  };

  const source = new EventSource(`/live?since=${document.body.dataset.shown}`);
  source.addEventListener("changed", (event) => {
    heardAt = Date.now();
    JSON.parse(event.data).forEach(replace);
    say();
  });
  source.addEventListener("reshaped", () => {
    heardAt = Date.now();
    reshape();
  });
  setInterval(() => {
    say();
    dateTimes(document);
  }, 1000);
  dateTimes(document);
})();
