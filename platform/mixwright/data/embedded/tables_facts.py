"""Small tables of knowledge for the generic instructions.

What comes in: nothing. What goes out: text in the notation `question -> answer`, one entry a line or several between semicolons.
Plain facts that do not change, in our own words.
"""

CAPITALS = """
Peru -> Lima; Chile -> Santiago; Kenya -> Nairobi; Norway -> Oslo; Sweden -> Stockholm; Finland -> Helsinki
Denmark -> Copenhagen; Portugal -> Lisbon; Spain -> Madrid; France -> Paris; Italy -> Rome; Greece -> Athens; Austria -> Vienna
Hungary -> Budapest; Poland -> Warsaw; Romania -> Bucharest; Bulgaria -> Sofia; Ireland -> Dublin; Iceland -> Reykjavik
Belgium -> Brussels; Germany -> Berlin; Croatia -> Zagreb; Serbia -> Belgrade; Slovenia -> Ljubljana; Estonia -> Tallinn
Latvia -> Riga; Lithuania -> Vilnius; Japan -> Tokyo; Vietnam -> Hanoi; Thailand -> Bangkok; Nepal -> Kathmandu
Mongolia -> Ulaanbaatar; Canada -> Ottawa; Cuba -> Havana; Argentina -> Buenos Aires; Uruguay -> Montevideo; Ecuador -> Quito
Colombia -> Bogotá; Venezuela -> Caracas; Egypt -> Cairo; Morocco -> Rabat; Tunisia -> Tunis; Ghana -> Accra; Senegal -> Dakar
Ethiopia -> Addis Ababa; Uganda -> Kampala; Rwanda -> Kigali; Namibia -> Windhoek; Zambia -> Lusaka; Jordan -> Amman
Lebanon -> Beirut; Iraq -> Baghdad; Turkey -> Ankara; Armenia -> Yerevan; Georgia -> Tbilisi; Australia -> Canberra
New Zealand -> Wellington; Jamaica -> Kingston; Costa Rica -> San José; South Korea -> Seoul
"""

DEFINITIONS = """
barometer -> an instrument that measures air pressure
thermometer -> an instrument that measures temperature
compass -> an instrument that shows where north is
telescope -> an instrument that makes distant things look nearer
microscope -> an instrument that makes very small things visible
glacier -> a large mass of ice that moves slowly down a valley
volcano -> an opening in the earth from which lava and gas can escape
delta -> the flat land that a river builds where it meets the sea
island -> a piece of land with water all around it
desert -> a region where very little rain falls
oasis -> a place in a desert where there is water and plants grow
orchard -> a piece of land where fruit trees are grown
vineyard -> a piece of land where grapes are grown for wine
invoice -> a document that lists what a customer has to pay for
deposit -> a sum of money paid in advance as a security
budget -> a plan of how much money will be spent on what
salary -> the money that an employee is paid regularly for work
tenant -> a person who pays rent to use a house or a room
landlord -> a person who owns a building and rents it out
witness -> a person who saw something happen
juror -> a member of the public who helps to decide a case in court
surgeon -> a doctor who treats patients by operating on them
pharmacist -> a person who prepares and sells medicine
plumber -> a person who installs and repairs water pipes
librarian -> a person who looks after the books in a library
translator -> a person who puts texts from one language into another
architect -> a person who designs buildings
mechanic -> a person who repairs machines such as cars
referee -> a person who makes sure that players keep to the rules
novel -> a long made-up story in the form of a book
biography -> the story of a real person's life, written by someone else
dictionary -> a book or website that explains the meaning of words
atlas -> a book of maps
recipe -> a list of ingredients with instructions for cooking a dish
password -> a secret word that proves who a user is
browser -> a program for looking at websites
backup -> a copy of data that is kept in case the original is lost
algorithm -> a list of exact steps that solves a problem
variable -> a named place in a program that holds a value
database -> an organized collection of data on a computer
router -> a device that passes data between computer networks
vaccine -> a substance that trains the body to fight a disease
allergy -> a strong reaction of the body to something that is harmless to most people
fever -> a body temperature that is higher than normal
vitamin -> a substance in food that the body needs in small amounts
nucleus -> the central part of an atom or of a living cell
molecule -> the smallest piece of a substance, made of atoms joined together
gravity -> the force that pulls things toward the earth
friction -> the force that slows things down when they rub together
orbit -> the path of one body in space around another
eclipse -> the moment when one body in space moves into the shadow of another
drought -> a long time without enough rain
flood -> a large amount of water covering land that is normally dry
harvest -> the time when ripe crops are gathered
compost -> rotted plant material that makes soil richer
hibernation -> the deep sleep in which some animals spend the winter
migration -> the regular journey of animals from one region to another
predator -> an animal that hunts and eats other animals
mammal -> an animal that feeds its young with milk
reptile -> a cold-blooded animal with dry, scaly skin
pollen -> the fine powder that flowers spread to make seeds
bargain -> something that is sold for much less than its usual price
auction -> a sale in which the highest offer wins
election -> a vote in which people choose who will govern
parliament -> the group of elected people who make a country's laws
treaty -> a written agreement between countries
citizen -> a person who legally belongs to a country
colleague -> a person with whom someone works
deadline -> the latest time by which something must be done
agenda -> a list of the points to be discussed at a meeting
draft -> an early version of a text that will still be changed
synonym -> a word that means nearly the same as another word
antonym -> a word that means the opposite of another word
adjective -> a word that describes a noun
verb -> a word that names an action or a state
rehearsal -> a practice before a play or concert is shown to the public
orchestra -> a large group of musicians who play together on different instruments
sculpture -> a work of art made by shaping stone, wood or metal
mosaic -> a picture made of many small pieces of stone or glass
harbor -> a sheltered place on the coast where ships can stay
bridge -> a structure that carries a road or a railway over an obstacle
tunnel -> a passage that leads under the ground or through a mountain
detour -> a longer way around a road that is closed
souvenir -> an object that is kept as a reminder of a trip
passport -> a document that allows its owner to travel abroad
currency -> the kind of money that a country uses
"""

FACTS = """
How many legs does a spider have? -> A spider has eight legs.
How many legs does an insect have? -> An insect has six legs.
Which planet is closest to the sun? -> Mercury is the planet closest to the sun.
Which planet is the largest in our solar system? -> Jupiter is the largest planet in our solar system.
What is the chemical symbol for gold? -> The chemical symbol for gold is Au.
What is the chemical symbol for iron? -> The chemical symbol for iron is Fe.
What is water made of? -> Water is made of hydrogen and oxygen.
At what temperature does water boil at sea level? -> At sea level, water boils at 100 degrees Celsius.
At what temperature does water freeze? -> Water freezes at 0 degrees Celsius.
How many days does a leap year have? -> A leap year has 366 days.
How many minutes are there in a day? -> There are 1,440 minutes in a day.
How many seconds are there in an hour? -> There are 3,600 seconds in an hour.
Which gas do plants take in from the air? -> Plants take in carbon dioxide from the air.
Which gas do humans need to breathe? -> Humans need to breathe oxygen.
What is the largest ocean on Earth? -> The Pacific is the largest ocean on Earth.
What is the longest side of a right triangle called? -> The longest side of a right triangle is called the hypotenuse.
How many sides does a hexagon have? -> A hexagon has six sides.
How many sides does an octagon have? -> An octagon has eight sides.
How many degrees are there in a full circle? -> There are 360 degrees in a full circle.
What is the sum of the angles in a triangle? -> The angles of a triangle add up to 180 degrees.
How many letters does the English alphabet have? -> The English alphabet has 26 letters.
Which month comes after September? -> October comes after September.
Which season follows winter? -> Spring follows winter.
In which direction does the sun rise? -> The sun rises in the east.
What do bees make from nectar? -> Bees make honey from nectar.
What is the young of a cow called? -> The young of a cow is called a calf.
What is the young of a sheep called? -> The young of a sheep is called a lamb.
What is the young of a horse called? -> The young of a horse is called a foal.
What is the young of a dog called? -> The young of a dog is called a puppy.
Which organ pumps blood through the body? -> The heart pumps blood through the body.
Which organ do we use to breathe? -> We use the lungs to breathe.
How many teeth does an adult human normally have? -> An adult human normally has 32 teeth.
What is frozen water called? -> Frozen water is called ice.
Which metal is liquid at room temperature? -> Mercury is a metal that is liquid at room temperature.
What do we call an animal that eats only plants? -> An animal that eats only plants is called a herbivore.
What do we call an animal that eats only meat? -> An animal that eats only meat is called a carnivore.
Which continent is the largest? -> Asia is the largest continent.
Which continent is the coldest? -> Antarctica is the coldest continent.
On which continent does Brazil lie? -> Brazil lies in South America.
On which continent does Egypt mostly lie? -> Egypt lies mostly in Africa.
Who wrote the play Hamlet? -> William Shakespeare wrote the play Hamlet.
Who painted the Mona Lisa? -> Leonardo da Vinci painted the Mona Lisa.
How many strings does a violin have? -> A violin has four strings.
How many strings does a normal guitar have? -> A normal guitar has six strings.
How many players of one soccer team are on the field? -> A soccer team has eleven players on the field.
How many keys does a normal piano have? -> A normal piano has 88 keys.
What is the opposite direction of southwest? -> The opposite direction of southwest is northeast.
How many centimeters are there in a meter? -> There are 100 centimeters in a meter.
How many ounces are there in a pound? -> There are 16 ounces in a pound.
How many inches are there in a foot? -> There are 12 inches in a foot.
What does a carpenter mainly work with? -> A carpenter mainly works with wood.
What is bread mainly made of? -> Bread is mainly made of flour, water and yeast.
From which fruit is wine usually made? -> Wine is usually made from grapes.
From what is paper usually made? -> Paper is usually made from wood.
What do you get when you mix blue and yellow paint? -> Blue and yellow paint mixed together give green.
What do you get when you mix red and yellow paint? -> Red and yellow paint mixed together give orange.
What do you get when you mix red and white paint? -> Red and white paint mixed together give pink.
"""

OPPOSITES = """
hot -> cold; big -> small; early -> late; empty -> full; heavy -> light; rich -> poor; hard -> soft; wide -> narrow
deep -> shallow; strong -> weak; loud -> quiet; cheap -> expensive; ancient -> modern; brave -> cowardly; generous -> stingy
polite -> rude; sharp -> blunt; smooth -> rough; tight -> loose; thick -> thin; wet -> dry; young -> old; safe -> dangerous
clean -> dirty; bright -> dark; simple -> complicated; fast -> slow; honest -> dishonest; patient -> impatient
visible -> invisible; possible -> impossible; regular -> irregular; legal -> illegal; increase -> decrease; arrive -> depart
accept -> refuse; remember -> forget; win -> lose; build -> destroy; borrow -> lend; lead -> follow; open -> close; push -> pull
allow -> forbid; attack -> defend; appear -> disappear; begin -> end; buy -> sell; ask -> answer; arrival -> departure
victory -> defeat; success -> failure; profit -> loss; question -> answer; entrance -> exit; friend -> enemy; truth -> lie
summer -> winter; north -> south; above -> below; inside -> outside; always -> never; everything -> nothing; before -> after
maximum -> minimum; public -> private; fresh -> stale
"""

PHRASES = """
good morning -> buenos días, bonjour, guten Morgen, buongiorno
good night -> buenas noches, bonne nuit, gute Nacht, buonanotte
thank you -> gracias, merci, danke, grazie
please -> por favor, s'il vous plaît, bitte, per favore
goodbye -> adiós, au revoir, auf Wiedersehen, arrivederci
yes -> sí, oui, ja, sì
water -> agua, eau, Wasser, acqua
bread -> pan, pain, Brot, pane
house -> casa, maison, Haus, casa
book -> libro, livre, Buch, libro
friend -> amigo, ami, Freund, amico
train -> tren, train, Zug, treno
milk -> leche, lait, Milch, latte
dog -> perro, chien, Hund, cane
cat -> gato, chat, Katze, gatto
sun -> sol, soleil, Sonne, sole
moon -> luna, lune, Mond, luna
city -> ciudad, ville, Stadt, città
school -> escuela, école, Schule, scuola
flower -> flor, fleur, Blume, fiore
red -> rojo, rouge, rot, rosso
green -> verde, vert, grün, verde
Monday -> lunes, lundi, Montag, lunedì
Friday -> viernes, vendredi, Freitag, venerdì
seven -> siete, sept, sieben, sette
ten -> diez, dix, zehn, dieci
apple -> manzana, pomme, Apfel, mela
cheese -> queso, fromage, Käse, formaggio
night -> noche, nuit, Nacht, notte
snow -> nieve, neige, Schnee, neve
"""
LANGUAGES = ("Spanish", "French", "German", "Italian")

CATEGORIES = """
fruits: apple, pear, plum, cherry, banana, grape, peach, mango, orange, fig
vegetables: carrot, onion, cabbage, spinach, leek, potato, turnip, broccoli, celery, radish
tools: hammer, saw, drill, wrench, screwdriver, chisel, pliers, file, spade, rake
birds: sparrow, eagle, owl, robin, swan, heron, pigeon, falcon, crow, stork
musical instruments: violin, flute, drum, trumpet, harp, cello, guitar, clarinet, piano, oboe
pieces of furniture: table, chair, sofa, wardrobe, shelf, desk, bench, stool, cupboard, armchair
vehicles: car, truck, bus, tram, bicycle, tractor, van, motorcycle, ambulance, taxi
fish: salmon, trout, tuna, cod, herring, carp, sardine, mackerel, pike, eel
clothes: shirt, coat, sweater, scarf, skirt, jacket, glove, sock, dress, hat
metals: iron, copper, silver, gold, zinc, tin, lead, nickel, aluminum, platinum
professions: nurse, baker, pilot, lawyer, farmer, teacher, plumber, dentist, judge, tailor
school subjects: history, physics, geography, chemistry, biology, music, art, literature, mathematics, economics
trees: oak, maple, birch, pine, beech, willow, elm, ash, cedar, poplar
sports: tennis, football, hockey, rugby, swimming, rowing, cycling, boxing, fencing, golf
parts of the body: arm, knee, shoulder, ankle, elbow, wrist, neck, heel, hip, thumb
kitchen utensils: pan, ladle, whisk, kettle, grater, sieve, spatula, colander, rolling pin, peeler
farm animals: cow, pig, goat, sheep, hen, duck, goose, horse, donkey, turkey
colors: red, green, blue, yellow, purple, brown, pink, gray, black, white
"""

TIPS = """
How can I fall asleep more easily? -> Go to bed at the same time every day and leave your phone in another room.
How can I keep bread fresh longer? -> Store it in a paper bag or a bread box, and freeze what you will not eat within two days.
How do I make a good first impression in an interview? -> Arrive on time, greet everyone politely and prepare two questions.
How can I remember new words? -> Write them on cards, use each in a sentence and repeat them after a day and after a week.
What should I pack for a day hike? -> Pack water, food, a rain jacket, a map and a small first-aid kit.
How can I save energy at home? -> Turn off lights you do not need, lower the heating at night and wash clothes in cold water.
How do I choose a safe password? -> Use a long phrase that nobody can guess, and never use it for two accounts.
How can I make a meeting shorter? -> Send the agenda in advance, start on time and end every point with a decision.
How do I remove a coffee stain from a shirt? -> Rinse it with cold water, rub in a little soap and wash the shirt as usual.
How can I drink more water during the day? -> Keep a bottle on your desk and drink a glass before every meal.
How do I keep houseplants alive on vacation? -> Water them well, move them out of the sun and ask a neighbor to look in once a week.
What helps against tired eyes at the computer? -> Look into the distance every twenty minutes and keep the screen far enough away.
How can I learn to cook? -> Start with three simple dishes, follow the recipe exactly and cook each of them several times.
How do I write a clear email? -> Put the request in the first sentence, keep the paragraphs short and give a date for the answer.
How can I spend less money on food? -> Plan the meals of the week, buy from a list and cook larger portions.
How do I calm down before a speech? -> Breathe slowly, practice the first two sentences and look at a friendly face.
How can I make my bicycle last longer? -> Keep the chain clean and oiled, pump up the tires and store it under a roof.
How do I protect my data? -> Make regular backups, install updates and do not open attachments from strangers.
What is a good way to start running? -> Run slowly for one minute, walk for two, and repeat this ten times, three days a week.
How do I get over a cold? -> Rest, drink warm fluids and see a doctor if the fever lasts longer than three days.
How can I find a topic for an essay? -> List what you are curious about, read a little on each and choose one with a real question.
How do I keep a kitchen knife sharp? -> Cut on wood, wash it by hand and pull it over a sharpening stone once a month.
How can I be more patient with children? -> Speak slowly, give them a choice of two things and take a break before you get angry.
What should I check before buying a used car? -> Look at the service record, the tires and the brakes, and take it for a test drive.
How do I take better photos? -> Keep the light behind you, move closer and hold the camera still.
How can I make new friends in a new city? -> Join a club, greet your neighbors and say yes to invitations.
How do I prepare for an exam? -> Divide the material into days, test yourself often and sleep well the night before.
How can I grow tomatoes on a balcony? -> Use a large pot in a sunny place, water it daily and tie the plant to a stick.
How can I waste less paper? -> Print on both sides, read on the screen and use old sheets for notes.
How do I wrap a present neatly? -> Cut the paper a little larger than needed, fold the edges sharply and use short strips of tape.
"""

REVIEWS = """
hotel + the staff were friendly; the room was spotless; the breakfast was generous
hotel - the room smelled of smoke; the window faced a noisy street; nobody answered the phone
restaurant + the food was fresh; the waiter was attentive; the prices were fair
restaurant - the soup was cold; we waited an hour for the bill; the fish was dry
headset + the sound is excellent; the battery lasts for two days; it sits comfortably
headset - the sound is thin; the battery is empty within an hour; it broke after a week
city tour + the guide knew every detail; the pace was pleasant; we saw hidden places
city tour - the guide was not prepared; the group was far too large; we spent most of the time in traffic
film + the actors were wonderful; I laughed from beginning to end; the music was beautiful
film - the plot made no sense; I nearly fell asleep; the actors seemed bored
concert + the singer was in great form; the sound was perfect; nobody wanted to go home
concert - the sound was terrible; the band left after forty minutes; the hall was freezing
raincoat + it kept me dry in a storm; the fabric feels light; the pockets are large
raincoat - it let the water in at once; the zipper broke on the first day; it is much too tight
coffee machine + the coffee tastes great; it is easy to clean; it makes hardly any noise
coffee machine - it leaks every morning; the coffee is lukewarm; the instructions made no sense
train journey + the train was on time; the seats were comfortable; the view took our breath away
train journey - the train was two hours late; there was no water on board; the seats were hard and narrow
cooking course + the teacher was patient; we learned six new dishes; everybody had enough space
cooking course - the kitchen was too small; we mostly watched; the recipes were boring
laptop + it starts in seconds; the screen is bright; the keyboard is a pleasure to use
laptop - it gets hot at once; the screen flickers; the keys stick
museum visit + the exhibits were well explained; the children loved it; the café was good
museum visit - half of the rooms were closed; the labels were unreadable; the tickets cost far too much
bicycle + it rides smoothly; the brakes are strong; it was easy to put together
bicycle - a pedal fell off; the saddle hurts; the gears jump all the time
vacuum cleaner + it is strong and quiet; the cable is long; it fits under every sofa
vacuum cleaner - it lost its power after a month; it is as loud as a plane; the bag tears easily
boat trip + the crew were cheerful; we saw dolphins; the lunch was delicious
boat trip - we were all seasick; the boat was dirty; it ended an hour early
backpack + it carries a lot; the straps are soft; it still looks new
backpack - a strap tore at once; it is heavy even when empty; the color came off on my shirt
campsite + the showers were clean; the lake was close; the owners were helpful
campsite - the ground was full of stones; music played all night; the showers were cold
language course + the lessons were lively; I can finally order in French; the group was small
language course - the teacher was often absent; the book was out of date; I learned almost nothing
"""
