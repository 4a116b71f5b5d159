// The language switch leads to the same section of the same page: the address follows the
// reader while scrolling, and the headings have the same anchors in both languages.
document.querySelectorAll(".language-switch").forEach(function (link) {
  link.addEventListener("click", function () {
    link.hash = location.hash
  })
})
