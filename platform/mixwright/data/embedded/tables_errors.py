"""Tables of mistakes: the right word or phrase, and what learners and hasty writers put for it.

What comes in: nothing. What goes out: text in the notation `right -> wrong, wrong; ...`, read by vocabulary.py. A wrong form left
empty means that the word is missing.
"""

SPELLING = """
because -> becuase, becouse, beacause, becase; although -> altough, allthough, althought; though -> thow, tough
through -> trough, thru; their -> thier, there, they're; there -> their, ther; they -> thay; were -> where, wer; was -> whas, waz
which -> wich, whitch; while -> wile, whyle; when -> wen; weather -> wether, whether; whether -> wether, weather; than -> then
too -> to; two -> too, tow; its -> it's; it -> itt; of -> off; off -> of; quiet -> quite, quit; quite -> quiet
quickly -> quikly, quickley; carefully -> carefuly, carfully; finally -> finaly, finnaly; slowly -> slowley; really -> realy
usually -> usualy, ussually; usual -> usuall; until -> untill; again -> agian; against -> againts; almost -> allmost
already -> allready, alredy; always -> allways; enough -> enought, enogh; early -> erly, earley; every -> evry
everyone -> every one, everone; everything -> everyting; nobody -> noboddy; another -> anouther; before -> befor, bevore
behind -> behaind; between -> beetween; beginning -> begining; began -> begun; believe -> beleive; believed -> beleived
received -> recieved; receptionist -> recepcionist; friend -> freind; friends -> freinds; neighbor -> neigbor, neihgbor
neighbors -> neigbors, neighbours'; government -> goverment; environment -> enviroment; library -> libary, librery
restaurant -> restaurent, resturant; business -> buisness, bussiness; company -> compagny; committee -> comittee, commitee
colleagues -> collegues; assistant -> assistent; accountant -> acountant; manager -> maneger, manger; engineer -> enginer
engineers -> engeneers; mechanic -> mecanic; technician -> technicien; professor -> proffesor, professer; scientists -> sientists
astronomers -> astronomists; doctor -> docter; patient -> patiant; hospital -> hospitel, hospitale; medicine -> medecine
appointment -> apointment; address -> adress, addres; parcels -> parsels; package -> pakage; delivery -> delivary
delivered -> deliverd; deadline -> dead line; budget -> bugdet, budjet; schedule -> shedule; meeting -> meetting, meating
conference -> conferance; presentation -> presentacion; application -> aplication; information -> infomation, informations
equipment -> equiptment; machine -> mashine; computer -> computor; program -> programm; software -> softwear
database -> data base; developers -> developpers; password -> pasword; successful -> succesful; success -> succes
different -> diferent, diffrent; difficult -> dificult, difficlut; important -> importent, importand; interesting -> intresting
interested -> intrested, interessted; necessary -> neccessary, necesary; possible -> posible; impossible -> imposible
expensive -> expencive; cheaper -> cheeper; several -> severel, sevral; together -> togheter, togather
tomorrow -> tommorow, tomorow; yesterday -> yesturday, yesteday; Wednesday -> Wensday; February -> Febuary; morning -> mornig
afternoon -> afternon; weekend -> week end; evening -> evning; vegetables -> vegtables; potatoes -> potatos; tomatoes -> tomatos
chocolate -> choclate; kitchen -> kichen; recipe -> receipe; breakfast -> breakfeast; bakery -> backery; temperature -> temperture
experiment -> experement; laboratory -> labratory; research -> reserch; students -> studends; teacher -> techer
children -> childern; parents -> parrents; grandparents -> grand parents; grandmother -> grandmohter; family -> familly
families -> familys; cities -> citys; stories -> storys; countries -> countrys; libraries -> librarys; holidays -> hollidays
language -> langage; grammar -> grammer; exercises -> exersises; sentence -> sentance; knowledge -> knowlege; answer -> anser
answered -> awnsered; question -> qestion; complained -> complaind; discussed -> discused; happened -> happend; planned -> planed
stopped -> stoped; dropped -> droped; decided -> desided; wanted -> wantet; asked -> askt; tried -> tryed; carried -> carryed
studied -> studyed; copied -> copyed; repaired -> repared; finished -> finnished; cancelled -> canceled; travelled -> traveld
practiced -> practised; explained -> explaned; checked -> cheked; bought -> buyed, bougth; brought -> brougt, brang
thought -> tought, thougt; taught -> teached, thaught; caught -> catched; wrote -> writed, rote; chose -> choosed, choose
passengers -> passangers; passenger -> passanger; station -> statoin; airport -> air port; luggage -> lugage; ticket -> tiket
tickets -> tikets; journey -> jurney; traffic -> trafic; bicycle -> bycicle; bridge -> brige; building -> bilding
ceiling -> cieling; furniture -> furnature; height -> hight; weight -> wieght; neighborhood -> neigborhood; museum -> musuem
theater -> theatre's; audience -> audiance; orchestra -> orchestre; musicians -> musisians; famous -> famouse
beautiful -> beautifull; beautifully -> beautifuly; wonderful -> wonderfull; careful -> carefull; volunteers -> voluntears
community -> comunity; council -> counsil; residents -> residants; newspaper -> news paper; journalists -> journelists
police -> polise; rescue -> rescu; emergency -> emergancy; dangerous -> dangerus; damage -> dammage; damaged -> dammaged
electricity -> electrisity; captain -> captin; harbor -> habor; island -> iland; farmers -> framers; tractor -> tracter
harvest -> harvist; especially -> expecially; promised -> promissed; whole -> hole; piece -> peace; right -> rite; would -> woud
could -> coud; should -> shoud; people -> poeple, peple; surprised -> suprised; surprise -> suprise; problem -> probleme
problems -> problemes; reason -> reson; improve -> inprove; improved -> improoved
"""

"""Spelling slips that people make again and again."""

EAR = """
ie -> ei; ei -> ie; ance -> ence; ence -> ance; ant -> ent; ent -> ant; able -> ible; ph -> f; ough -> of; tion -> sion; ea -> ee
ee -> ea; ou -> u; ck -> k; que -> k; ary -> ery; er -> or; or -> er; ful -> full; ight -> ite; wh -> w
"""

"""Sounds inside a word and how the ear writes them."""

PREPOSITION = """
responsible for -> of; interested in -> on, for, about; good at -> in, on; tired of -> from; proud of -> for, about
afraid of -> from, for; used to -> with, at; forward to -> for, at; thinking about -> on, in; dreams of -> with, on
dream of -> with, on; insists on -> in, to; insist on -> in, to; complained about -> on, for, from
complain about -> on, for, from; complaining about -> on, for, from; talked to -> at, ; depended on -> of, from
asked for -> , about; wait for -> , to; waiting for -> to; full of -> from, with; cause of -> for, from; reason for -> of, to
price of -> from, for; number of -> , from; difference between -> of; out of -> of, from; look after -> for, to
looked after -> for, at; looked into -> at, to; warned about -> from, for; arrived at -> to, in; close to -> from, at
lack of -> in, for; answer to -> for, of; danger of -> for, from; opposed to -> with, against; group of -> from, with
list of -> from, with; most of -> , from; each of -> , from; half of -> from, in; kind of -> , from
"""

"""A word with its preposition, and the prepositions put for it."""

PLACE = """
at -> in, on, to; in -> at, on, into; on -> in, at, over; from -> of, off; near -> near to, next; by -> from, of, with
"""

"""Prepositions of place before an article."""

PRONOUN = """
they -> them; he -> him; she -> her; their -> there, they, theirs; his -> him, he; her -> hers, she; its -> it's, his
who -> which, what, whom; everyone -> every ones, everyones; nobody -> no bodies, none; it -> he, they; me -> I, my; I -> me, i
we -> us; our -> ours, us; my -> mine, me; us -> we; there -> their, it; some -> any; themselves -> theirselves, themself
himself -> hisself, him self; herself -> her self, hers self; another -> an other, other; others -> other, anothers
"""

COMPARISON = """
easier -> more easier, more easy; harder -> more harder, more hard; cheaper -> more cheaper, more cheap
quicker -> more quicker, more quick; better -> more better, gooder; worse -> worst, more worse; bigger -> more bigger, biger
faster -> more faster, more fast; safer -> more safer, more safe; smaller -> more smaller, more small; older -> more older, elder
largest -> most largest, larger; fastest -> most fastest; difficult -> difficulter; than -> then, as; expensive -> expensiver
many -> much; much -> many; few -> little; little -> few; fewer -> less; longer -> more longer, more long
stronger -> more strong, more stronger; lower -> more lower, lowest
"""

COLLOCATION = r"""
made a decision -> did a decision, took a resolution; made a mistake -> did a mistake; took a photo -> made a photo, did a photo
did homework -> made homework; took pictures of -> made pictures of, did pictures of; heavy rain -> strong rain, hard rain
heavy traffic -> strong traffic, big traffic; strong wind -> heavy wind, big wind; fast food -> quick food
paid attention -> gave attention; took a break -> made a break, did a pause; give up -> give out; asked for -> demanded to have
told me -> said me; explained to -> explained; had a party -> made a party; were ill -> had illness, were sick of body
was ill -> had an illness, was with sickness; was too slow -> went too slow, had too low speed; was booked -> was taken by book
was hard to read -> was hardly readable, gave hard reading; were hard to find -> were heavy to find
had complained -> had made complains, had complained themselves; was coming -> was on coming; were coming -> were on coming
was full -> was complete of people, was totally plenty; was almost full -> was plenty almost
was broken -> was out of function, was damaged broken; were broken -> were out of function
was closed(?! off| to) -> was with doors closed; was open -> was opened; was cold -> was making cold, had cold
was hot -> made hot, had much heat; was raining -> was making rain, was falling rain
it rained -> it made rain, the rain fell down; was too expensive -> had a too high price, was costing too much of money
was expensive -> had a big price, cost expensive; prices were high -> prices were expensive
prices were low -> prices were cheap; the price -> the pricing; the prices -> the pricings
money was short -> the money was few, we lacked of money; little time -> few time, not many time
enough time -> time enough, enough of time; a lot -> very much of; many people -> much persons, a lot persons
several -> some few, various of; most of the -> the most of; half of the -> the half of the
last week -> the past week before, in the last week; last month -> in the past month, the last month
last year -> in the last year, the year before now; (?<!before )yesterday -> in the yesterday, on yesterday
tomorrow -> in tomorrow, the day of tomorrow; next week -> in the next week, the following coming week
two weeks ago -> before two weeks, since two weeks; three days ago -> before three days, in three days past
a few days ago -> before some days, few days before; the other day -> on the other day ago
earlier this week -> in this week before, this week early; on Monday morning -> in the morning of Monday, Monday at morning
on Friday afternoon -> in Friday at afternoon, by Friday afternoon time; in the mornings -> at mornings
at night -> in the night time; every day -> all the days, everydays; twice a week -> two times in the week, twice by week
once a week -> one time in week; every week -> all weeks; for two hours -> since two hours, during two hours
for several days -> since several days, during some several days; for weeks -> since weeks
since Monday -> from Monday until now; it took -> it needed, it costed; almost three days -> near to three days
a whole week -> a complete entire week; wanted to -> had the wish for to, did want to
decided to -> took decision to, decided themselves to; agreed to -> did agree for to, said yes to
planned to -> had in plan to, were planning for to; needed to -> had need to, was needing to; had to -> must to, had the must to
promised to -> gave promise to; is good at -> is good in, makes well; are good at -> are good in
is responsible for -> has the responsible of; are responsible for -> have the responsible of
is interested in -> has interest on, is interesting in; are interested in -> are interesting in
is looking forward to -> is waiting happily for; are looking forward to -> are waiting happily for
is used to -> is habituated of; are used to -> are habituated of; is tired of -> is boring of
enjoys -> takes joy in, likes very much; enjoy -> take joy in; wanted to know -> wished knowing, asked to know
a friend told me -> a friend said me; I was surprised -> I was surprising, it made me surprise
everyone knew -> all persons knew, everyone did know; nobody expected -> no person did expect; so that -> for that
in the end -> at the last end; at least -> at less; of course -> by course
by themselves -> by their own selves, alone with themselves; by himself -> by his own self, alone with himself
by herself -> by her own self, alone with herself; for help -> for a help, to get helping; did not -> not did, didn't never
too late -> so much late, too much late; too little time -> too few of time; to save time -> for gain time, for saving of time
to save money -> for save of money, for economize money; to avoid -> for not having, for avoid; to keep -> for to keep
to improve -> for make better, for improving of; to protect -> for make safe, for to protect
to prepare -> for make ready, for preparing; to attract -> for bring in, for attract; to raise money -> for making money come
to learn more -> for learn more; to help -> for to give help to; to find -> for find out; to meet -> for reach
to finish -> for come to end; to make -> for making; while -> in the time that, at the time while
although -> despite that, in spite that, though even; even though -> even that, despite that
before (?=\w+ing ) -> previous of, before that; in time -> at correct time; as well -> also too; better -> more well
were asleep -> were in sleeping; was asleep -> was in sleep; went home -> went to home, went to their homes back
were happy -> had happiness, felt themselves happy; was happy -> felt himself happy, had happiness
was pleased -> was in pleasing; had left -> had gone out from; grew quickly -> grew in a fast
had gone up -> had become up, were gone to up; was rising -> was going to up
were at lunch -> were making lunch, were on the eating of lunch; were waiting -> stood in waiting; were playing -> made playing
was ringing -> made rings
"""

"""Wording that sounds translated."""

AWKWARD_VERBS = """
check -> control, make control of; borrow -> lend, take in loan; discuss -> discuss about, make discussion of
explain -> say clear; teach -> learn; reach -> arrive to, come until; miss -> lose, arrive late for
invite -> make invitation for; visit -> make visit to; count -> make count of; measure -> take the measures of
choose -> elect, make the election of; find -> find out, meet; plan -> project; hire -> contract, take for work
reject -> say no for; organize -> make organization of; clean -> make clean; wash -> make washing of; paint -> make paint on
replace -> put another in place of; deliver -> bring in home; buy -> make purchase of, shop; repair -> make good again
cook -> make cooked; taste -> prove, make taste of; write -> write down; watch -> look, look on; test -> prove, make proof of
study -> make study of; read -> lecture, give reading to; finish -> end up, bring until the end; cancel -> annul, make null
move -> displace, change of place; sign -> put the sign on; copy -> make copy from; train -> form, give formation to
promote -> ascend; repeat -> do again another time; collect -> recollect, take together; film -> make film of
draw -> design, make the draw of; decorate -> put decoration on; learn -> study up; translate -> traduce, make translation of
remove -> take off from there; install -> instal in, put in function; save -> salve, make safe; lower -> make low, put down
order -> make order of; return -> give back again; pack -> put in package; open -> make open; compare -> make comparison of
change -> make change of; serve -> put on table; bake -> make baked; mix -> make mix from; share -> part, make parts of
treat -> make cure of; examine -> make examination to; reserve -> make reserve of; book -> make booking to
lock -> close with key; build -> construct up, make building of; rent -> take in rent; carry -> bring with hands
plant -> put in earth; water -> give water at; pick -> take off; hide -> make hidden; publish -> make public of
interview -> make interview to; rescue -> bring in safety; block -> put block on; warn -> give warning at; search -> look in
protect -> make protection of; predict -> say before; harvest -> make harvest of; show -> make show of
perform -> make performance of; record -> make record of; feed -> give to eat to; weigh -> take weight of
widen -> make more wide; demand -> exige, make demand of; criticize -> make critic to; suggest -> make suggestion of
close -> make closed; keep -> hold on, conserve
"""
