// Read from a folder, a page may not fetch the others, so the search shows titles only.
document.addEventListener("DOMContentLoaded", () => {
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
});

// What is printed lies open, dark on white; afterwards the page is as it was.
const page = document.documentElement;
let folded = [], theme;

window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => { one.open = true; });
  theme = page.dataset.theme;
  page.dataset.theme = "light";
});

window.addEventListener("afterprint", () => {
  folded.forEach((one) => { one.open = false; });
  page.dataset.theme = theme;
});

// What the theme leaves unsaid to a screen reader: the name of a button is what it shows, an arrow's is that of the
// link beside it, and what scrolls sideways can be reached by the keyboard.
const speak = () => {
  for (const one of document.querySelectorAll("button.search-button__button, details.hide > summary, details summary[aria-label]"))
    one.removeAttribute("aria-label");
  for (const one of document.querySelectorAll("summary:not([aria-label])"))
    if (!one.textContent.trim()) one.setAttribute("aria-label", `Pages below ${one.closest("li")?.querySelector("a")?.textContent.trim() ?? "this"}`);
  for (const one of document.querySelectorAll("dt.sig dl, dt.sig dl > dd")) one.setAttribute("role", "none");
  for (const one of document.querySelectorAll("mjx-container[display], .highlight pre, .output pre"))
    if (one.scrollWidth > one.clientWidth + 1) one.tabIndex = 0;
};
window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(speak));
