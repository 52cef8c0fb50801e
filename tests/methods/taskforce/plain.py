"""The learners of TaskForce with autograd and a loop over agents: what ours must agree with."""

import torch
from torch.nn import functional


def leaf(networks):
    return [row.clone().requires_grad_() for row in networks.flat_TP.data]


def mlp(ensemble, row, inputs):
    """Evaluate one network of an ensemble from its row of parameters, (B, M)."""
    shapes = [shape[1:] for shape in ensemble._shapes]
    parts = row.split(ensemble._sizes)
    w1, b1, w2, b2, w3, b3 = (p.view(s) for p, s in zip(parts, shapes, strict=True))
    hidden = functional.relu(functional.relu(inputs @ w1 + b1) @ w2 + b2)
    return hidden @ w3 + b3


def normal(observations_BTO):
    return functional.batch_norm(observations_BTO.flatten(1), None, None, training=True, eps=1e-5)


def step(adam, rows, loss, clip):
    """Descend the sum of the agents' losses; each agent's gradient is clipped by itself."""
    adam.zero_grad()
    loss.backward()
    for row in rows:
        torch.nn.utils.clip_grad_norm_([row], clip)
    adam.step()


class PlainMATD3:
    """Twin critics, smoothed targets, delayed actors; local policies and joint critics."""

    def __init__(self, agents, learning_rate):
        self.agents = agents
        self.names = ("actors", "critics", "twins")
        self.online = {name: leaf(getattr(agents, name)) for name in self.names}
        self.target = {k: [r.detach().clone() for r in rows] for k, rows in self.online.items()}
        self.adams = {
            k: torch.optim.Adam(rows, lr=learning_rate) for k, rows in self.online.items()
        }
        self.updates, self.actor_loss = 0, 0.0

    def policy(self, rows, observed_BD, n):
        seen = observed_BD.unflatten(1, (self.agents.num_agents, -1))[:, n]
        return self.agents.action_bound * torch.tanh(mlp(self.agents.actors, rows[n], seen))

    def value(self, rows, observed_BD, actions_BT, n):
        judged = torch.cat([observed_BD, actions_BT], dim=1)
        return mlp(self.agents.critics, rows[n], judged)[:, 0]

    def update(self, batch, generator):
        clip, count = self.agents.grad_clip, range(self.agents.num_agents)
        bound = self.agents.action_bound
        observed, following = normal(batch.observations_BTO), normal(batch.next_observations_BTO)
        with torch.no_grad():
            noise = torch.randn((len(count), len(observed), 1), generator=generator)
            actions = [
                (
                    self.policy(self.target["actors"], following, n)
                    + bound * (0.2 * noise[n].double()).clamp(-0.5, 0.5)
                ).clamp(-bound, bound)
                for n in count
            ]
            actions = torch.cat(actions, dim=1)
            smaller = [
                torch.minimum(
                    *(
                        self.value(self.target[k], following, actions, n)
                        for k in ("critics", "twins")
                    )
                )
                for n in count
            ]
            targets = [batch.rewards + self.agents.gamma * value for value in smaller]
        critic_losses = []
        for name in ("critics", "twins"):
            rows = self.online[name]
            losses = [
                functional.mse_loss(self.value(rows, observed, batch.actions_BT, n), targets[n])
                for n in count
            ]
            step(self.adams[name], rows, sum(losses), clip)
            critic_losses += [loss.item() for loss in losses]
        critic_loss = sum(critic_losses) / len(critic_losses)
        self.updates += 1
        if self.updates % 2:
            return critic_loss, self.actor_loss
        losses = []
        for n in count:
            own, mixed = self.policy(self.online["actors"], observed, n), batch.actions_BT.clone()
            mixed[:, n : n + 1] = own
            critics = [row.detach() for row in self.online["critics"]]
            penalty = self.agents.action_penalty * own.square().mean()
            losses.append(penalty - self.value(critics, observed, mixed, n).mean())
        step(self.adams["actors"], self.online["actors"], sum(losses), clip)
        for name in self.names:
            for slow, fast in zip(self.target[name], self.online[name], strict=True):
                slow.lerp_(fast.detach(), self.agents.tau)
        self.actor_loss = sum(losses).item() / len(losses)
        return critic_loss, self.actor_loss


class PlainBandit:
    """PPO of one Gaussian per agent on the raw action; local policies."""

    def __init__(self, bandit, learning_rate):
        self.bandit = bandit
        self.actors, self.baselines = leaf(bandit.actors), leaf(bandit.baselines)
        self.log_std = bandit.log_std_N1M.data.flatten().clone().requires_grad_()
        self.adams = [
            torch.optim.Adam(parameters, lr=learning_rate)
            for parameters in (self.actors, self.baselines, [self.log_std])
        ]

    def log_prob(self, observed_BD, raw_BT, n):
        seen = observed_BD.unflatten(1, (self.bandit.num_agents, -1))[:, n]
        mean = mlp(self.bandit.actors, self.actors[n], seen)[:, 0]
        return torch.distributions.Normal(mean, self.log_std[n].exp()).log_prob(raw_BT[:, n]), mean

    def update(self, batch, epochs=10, clip=0.2):
        bandit, count = self.bandit, range(self.bandit.num_agents)
        observed = functional.batch_norm(
            batch.observations_BTO.flatten(1), bandit.running_mean_D, bandit.running_var_D, eps=1e-5
        )
        bound = bandit.action_bound
        raw = torch.atanh((batch.actions_BT / bound).clamp(-(1 - 1e-6), 1 - 1e-6))
        with torch.no_grad():
            before = [self.log_prob(observed, raw, n)[0] for n in count]
            values = [mlp(bandit.baselines, row, observed)[:, 0] for row in self.baselines]
        advantages = [batch.rewards - value for value in values]
        advantages = [(a - a.mean()) / a.std(correction=0) for a in advantages]
        for _ in range(epochs):
            critics = [
                functional.mse_loss(mlp(bandit.baselines, row, observed)[:, 0], batch.rewards)
                for row in self.baselines
            ]
            step(self.adams[1], self.baselines, sum(critics), bandit.grad_clip)
            losses = []
            for n in count:
                log_prob, mean = self.log_prob(observed, raw, n)
                ratio = (log_prob - before[n]).exp()
                gain = torch.minimum(
                    ratio * advantages[n], ratio.clamp(1 - clip, 1 + clip) * advantages[n]
                )
                penalty = bandit.action_penalty * (bound * mean.tanh()).square().mean()
                losses.append(penalty - gain.mean())
            self.adams[2].zero_grad()
            step(self.adams[0], self.actors, sum(losses), bandit.grad_clip)
            self.adams[2].step()
        return sum(critics).item() / len(critics), sum(losses).item() / len(losses)
