/** The data of the page; its shape is described where it is made. Columns of a listing: */
const DATA = JSON.parse(document.getElementById("data").textContent);
const [ID, SOURCE, TITLE, WHEN, VENUE, ADDRESS, CATEGORIES, TEXT] = [0, 1, 2, 3, 4, 5, 6, 7];
