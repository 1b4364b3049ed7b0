// On a phone the results come first: the facets are folded until somebody asks for them.
import "./search.css";

const facets = document.querySelector<HTMLDetailsElement>("details.facets");
if (facets && window.matchMedia("(max-width: 51.99rem)").matches && !facets.querySelector("[aria-current]")) {
  facets.open = false;
}
