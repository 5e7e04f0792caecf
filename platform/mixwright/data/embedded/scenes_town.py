"""Scenes of public life: councils, streets, culture, weather and farms.

What comes in: nothing. What goes out: `TOWN`, read by grammar.py, which explains the notation.
"""

TOWN = """
# city council | dev
who: the mayor; the city council; the local residents+; two members of the committee+; {name}
rel: was elected last autumn; promised to lower taxes; grew up in the old town
how: finally; publicly; quickly
do: reject/turn down: the plan for a new airport; the tax reform; a request for more parking
do: question/doubt: the need for a stadium; the cost of the tram line; the housing project
do: discuss/debate/talk about: the price of water; the school budget; the future of the market hall
do: close/shut: the old swimming pool; two public libraries+; the bridge over the canal
do: delay/put off: the vote on the bus lane; a law against litter; the new building rules+
because: the costs had doubled; many people had signed a letter; an election was only months away
because: experts had warned about the risks
although: the vote was very close; some residents protested outside; the money was not yet available
so: the work had to be planned again; the newspaper printed a special issue; the debate went on for weeks
while: the hall was full of visitors; the opposition was divided
to: save public money; calm the debate; win back the trust of voters
at: in the town hall; at the meeting in Riverton

# local newspaper | train
who: the editor; a young reporter; the newspaper; two journalists+; {name}; {name} and {name}+
rel: had worked there for a decade; wrote about crime; once worked in radio
how: quickly; honestly; carefully
do: publish/print: a long article about the river; the names of the winners+; an interview with the mayor
do: interview/question/talk to: the owner of the factory; three witnesses+; a former minister
do: check/verify: the facts in the story+; the source of the photo; every quote
do: correct/take back: a false report; the wrong headline; two errors on page three+
do: investigate/look into: the fire at the market; the missing money; complaints about the water+
because: readers had asked many questions; a rival paper had been faster; the police were silent
because: the first story was full of mistakes
although: a lawyer had warned against it; there was hardly any space left; the deadline was an hour away
so: the police reopened the case; hundreds of readers wrote letters; the mayor had to answer questions
while: the printers were waiting; the rest of the office was asleep
to: inform the public; find out the truth; calm the readers
at: in the newsroom; on a rainy afternoon

# fire and police | train
who: the firefighters+; two police officers+; a passing cyclist; the rescue team; {name}
rel: arrived within minutes; lived close to the station; heard the first cries
how: quickly; bravely; calmly
do: rescue/save: a family from the second floor; the frightened dog; an old woman
do: block/close off: the main road; the entrance to the tunnel; both ends of the street+
do: empty/clear: the crowded hotel; the school gym; the railway platform
do: warn/alert: the people in the area+; the hospital; the owners of the boats+
do: search/go through: the empty building; the forest near the lake; every car in the garage
because: smoke was coming from the roof; the river was rising fast; a driver had seen something strange
because: the alarm had gone off twice
although: the heat was almost unbearable; there was little light; the radio was not working
so: nobody was seriously hurt; the danger was over by midnight; the neighbors could go back home
while: the storm was still raging; the crowd was watching
to: prevent an accident; keep the public safe; gain time
at: in the harbor district; near the old mill

# storm damage | test
who: the emergency crews+; the farmers+; the power company; local volunteers+; {name} and {name}+
rel: had worked through the night; came from three towns; lost part of a roof
how: quickly; carefully
do: clear/remove: the fallen trees+; the snow from the roads; the mud in the streets
do: repair/fix: the power lines+; the damaged bridge; dozens of roofs+
do: protect/secure: the doors of the museum+; the boats in the harbor+; the wet walls of the school+
do: pump out/empty: the flooded cellars+; the underground garage; the hospital basement
do: hand out/distribute: hot meals+; dry blankets+; bottles of clean water+
because: the storm had cut off the village; more rain was expected; thousands of homes were without electricity
because: the wind had reached record speeds
although: the warning had come too late; the machines were old; the rain did not stop for three days
so: the schools could open on Monday; traffic was normal again by noon; the damage was smaller than feared
while: the wind was still blowing; the river was falling again
to: open the roads again; prevent more damage; help the older residents
at: along the coast; in the lower part of town

# weather service | train
who: the weather service; the forecasters+; the radio station; a retired sailor; {name}
rel: had studied storms for years; collected the data from ships; was rarely wrong
how: correctly
do: predict/forecast: a cold winter; heavy snow in the north; the first autumn storm
do: measure/record: the strongest wind of the year; the rainfall in April; a temperature of forty degrees
do: publish/release: a flood warning; the new forecast; the climate figures for May+
do: compare/match: data from ten stations+; the last two summers+; the satellite pictures+
because: the pressure had dropped suddenly; the sea was warmer than usual; warm air was moving in from the south
because: the old model had been wrong too often
although: the sky was still blue; some of the instruments were broken; few people believed it
so: the ferries stayed in the harbor; farmers covered the young plants; most visitors went home early
while: the clouds were gathering; the heat was at its worst
to: warn the public; improve the computer model; prepare the rescue teams
at: at the coastal station; from the new tower

# farm | train
who: the farmer; two farm workers+; the old couple+; my cousin; {name}; {name} and {name}+
rel: owned sixty cows; took over the farm last year; got up before sunrise
how: quickly; carefully
do: feed/give food to: the young calves+; the chickens+; a sick lamb
do: harvest/bring in: the wheat; the early potatoes+; the grapes on the hill+
do: repair/mend: the tractor; the fence around the field; the barn door
do: sell/trade: two horses+; the spring lambs+; most of the milk
do: sow/plant: the winter barley; a field of corn; clover near the stream
because: the first frost was near; the price of hay had doubled; the summer had been too dry; a buyer was waiting in town
although: help was hard to find; the ground was still wet; the profit was small
so: the animals were well fed; the loan could be paid back; the work was done before the storm
while: the weather was good; the neighbors were at the market
to: prepare for the winter; earn enough for a new tractor; keep the animals healthy
at: on the hill farm; near the river
habit: every morning; before breakfast; in late summer

# museum and art | train
who: the museum; the curator; a group of volunteers; the art students+; {name}; {name} and {name}+
rel: had studied in Florence; knew the artist well; worked without pay
how: carefully; proudly; quietly
do: clean/restore: a dirty portrait; the stone lions+; the ceiling of the chapel
do: show/display/exhibit: early photographs+; a collection of masks; the painter's last works+
do: buy/acquire: a small statue; two rare drawings+; a letter by the poet
do: move/carry: the marble table; the largest painting; the glass cases+
do: draw/sketch: the ancient vases+; the view from the tower; an old soldier
because: the building was being renovated; the public had shown great interest; the colors had become dark
because: a rich family had given some money
although: the roof was leaking; critics did not like the idea; the space was limited
so: the number of visitors rose; tickets were sold out for weeks; the children learned something about history
while: the museum was closed to visitors; the lights were low
to: attract young visitors; protect the works from damage; celebrate the hundredth birthday of the painter
at: in the east wing; for the City Gallery

# concert | dev
who: the orchestra; the choir; the young violinist; a local band; {name}; {name} and {name}+
rel: had toured through Asia; wrote most of the songs; practiced for months
how: beautifully; loudly
do: play/perform: an old folk song; the second symphony; three new pieces+
do: record/tape: an album of dances; the last concert; a song about the sea
do: repeat/redo: the slow part; the final song; the first two dances+
do: tune/prepare: the piano; the guitars+; all of the instruments
because: the audience was so large; it was the last evening of the festival; the conductor was not satisfied
because: a famous singer was in the hall
although: the hall was cold; one of the musicians was ill; the lights went out twice
so: the audience stood up and clapped; the critics were full of praise; tickets for the next show sold out
while: it was raining outside; the cameras were running
to: please the audience; raise money for the music school; honor the composer
at: in the concert hall; at the summer festival

# theater and film | train
who: the director; the drama club; the lead actor; the film crew; {name}; {name} and {name}+
rel: had won two awards; built the stage by hand; was nervous on the first night
how: quickly; patiently; secretly
do: rehearse/practice: the final scene; a difficult dance; the opening act
do: film/shoot: the chase through the market; a scene in the rain; the quiet ending
do: rewrite/change: the second act; two of the dialogues+; the ending
do: choose/select/pick: the costumes+; a younger actor; the music for the trailer
do: paint/decorate: the wooden set; the forest scene; the castle walls+
because: the first night was only a week away; the test audience had been bored; the main actor had broken an arm
because: there was not enough money for a second day
although: the script was not finished; the weather kept changing; the producer disagreed
so: the show opened on time; the reviews were very kind; the crew could go home early
while: the theater was empty; the sun was setting
to: save time; surprise the audience; make the story easier to follow
at: on the main stage; at the old studio

# zoo and animals | test
who: the zookeepers+; the animal doctor; the shelter; a team of volunteers; {name}; {name} and {name}+
rel: had worked with elephants; loved every animal; was bitten once by a parrot
how: gently; patiently; carefully
do: feed/give food to: the baby monkeys+; a pair of owls; the penguins+
do: treat/care for: a wounded fox; the old elephant; three abandoned kittens+
do: weigh/measure: the young tiger; each of the turtles; the snakes+
do: release/free: two sea eagles+; a healthy hedgehog; the seals+
do: clean/wash: the aquarium; the lion house; the ponds+
because: the animals were restless; visitors had noticed a strange smell; winter was on its way
because: an important inspection was coming
although: the work was dangerous; money was tight; the animals were shy
so: the animals became calmer; the zoo was praised in the newspaper; many visitors gave money
while: the zoo was still closed; a film crew was watching
to: calm the animals; keep the animals healthy; prepare for the cold season
at: at the city zoo; behind the visitor center
habit: every morning; twice a day; before the gates open

# road works and traffic | train
who: the road workers+; the transport office; a private company; the engineers+; {name}
rel: had built the first tunnel; promised to finish in June; worked mostly at night
how: slowly; finally; quickly
do: repair/fix/mend: the main street; holes in the road+; the railway crossing; the street lights+
do: widen/broaden: the bicycle path; the bridge at the station; the northern road
do: close/shut: two lanes of the highway+; the tunnel; the parking lot behind the church
do: install/put up: new traffic lights+; a noise barrier; speed cameras+
do: test/try: a cheaper kind of asphalt; the warning system; an electric bus
because: there had been too many accidents; heavy trucks had damaged the surface; drivers had complained for years
because: the frost had broken the surface
although: the traffic was already heavy; shop owners were against it; the plan was two years old
so: the journey to work became longer; buses had to take another route; the streets were safer for children
while: the schools were on vacation; most people were asleep
to: make the road safer; shorten the way to work; reduce the noise
at: in the city center; near the airport

# bus service | test
who: a worried father; the passengers+; the local families+; the student council; {name}
rel: used the line every day; had waited for an hour; wanted a better timetable
how: politely; loudly; finally
do: demand/ask for: lower fares+; an extra bus at night; a stop near the school
do: criticize/complain about: the new timetable; the old buses+; the dirty seats+
do: suggest/propose: a route along the river; larger buses+; free tickets on Sundays+
because: the buses were always full; many families had moved to the area; the last change had caused many problems
because: the way to school took over an hour
although: the service was better than before; the changes were small; the company had little money
so: the company answered with a letter; the local radio reported on it; the mayor promised to help
while: the trains were on strike; the streets were covered with ice
to: improve the service; put pressure on the company; get more people out of their cars
at: in the northern suburbs; at the public meeting

# charity and volunteers | train
who: the volunteers+; the food bank; a church group; the students' club; {name}; {name} and {name}+
rel: met every Thursday; started with a single table; gave up their weekends
how: gladly; quietly; quickly
do: collect/gather: warm clothes+; twenty bags of rice+; old bicycles+
do: cook/prepare: meals for the homeless+; a hot breakfast; soup for sixty people
do: visit/call on: lonely neighbors+; the children's hospital; a home for the elderly
do: paint/decorate: the waiting room; the youth center; a playground wall
do: raise/collect: money for the animal shelter; four thousand dollars+; funds for a new ambulance
because: the winter had been hard; the number of poor families had grown; the city had cut its support
because: a local firm had offered help
although: there were few helpers; the hall was cold; the rules were complicated
so: many families had enough to eat; the newspaper thanked everyone; other towns copied the idea
while: the shops were closed; snow was falling
to: help people in need; bring neighbors together; show some kindness
at: in the church hall; at the community center
habit: every Friday; once a month; before the holidays

# fishing harbor | train
who: the fishermen+; the captain; the crew of the ferry; an old sailor; {name}
rel: had spent a lifetime at sea; came from a family of sailors; knew the coast well
how: safely; slowly; skillfully
do: repair/mend: the torn nets+; the engine; the side of the boat
do: sell/auction off: the morning catch; three boxes of crabs+; a huge tuna
do: paint/repaint: the wooden boats+; the lighthouse door; the cabin
do: clean/scrub: the deck; the fish market; the ropes+
do: count/weigh: the lobsters+; the baskets of fish+; the empty barrels+
because: the season was about to begin; a buyer had come from the city; the weather was better than expected
because: fuel was cheap that week
although: the sea was rough; the price of fish was low; thick fog covered the coast
so: the restaurants had fresh fish; the families could pay their bills; the market opened early
while: the tide was low; the gulls were crying
to: earn a little extra; be ready for the summer; beat the other boats
at: at the old pier; on the west coast

# car garage | train
who: the mechanic; a small garage; the apprentices+; my neighbor; {name}; {name} and {name}+
rel: loved old engines; had repaired cars since school; worked for a fair price
how: carefully; quickly; cheaply
do: repair/fix: the brakes+; an old sports car; the gearbox; two flat tires+
do: replace/change: the battery; the front lights+; a cracked window
do: check/inspect: the oil level; the steering; all four wheels+
do: wash/clean: the dirty van; the seats+; the school bus
do: order/send for: a spare part; the right screws+; a set of winter tires
because: the engine made a loud noise; the yearly test was coming up; the owner needed the car for a trip
because: the accident had damaged the left side
although: the car was thirty years old; the parts were hard to find; the garage was very busy
so: the car passed the test; the customer could leave before noon; the bill was lower than expected
while: the customer was drinking coffee; another car was on the lift
to: make the car safe; finish before the weekend; save the customer money
at: at the garage on Bridge Road; in the yard
"""
